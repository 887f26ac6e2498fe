"Run by conftest.py: loads exported learners, each in a fork of a process that has imported fastai and nothing of the tests"
import os, sys
import torch, fastai.vision.all
from fastai.learner import load_learner


def predict(learner: str, item: str, out: str):
    "Save what a learner predicts"
    learn = load_learner(learner)
    with learn.no_bar(): pred, decoded, probs = learn.predict(item)
    torch.save((str(pred), decoded.tolist(), probs.as_subclass(torch.Tensor)), out)


if __name__ == '__main__':
    for line in sys.stdin: # learner, item and output, with tabs between them
        pid = os.fork()
        if pid == 0:
            predict(*line.rstrip('\n').split('\t'))
            os._exit(0)
        print(os.waitpid(pid, 0)[1], flush=True)
