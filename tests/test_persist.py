"`save_soft_learner` and `load_soft_learner`: there and back for all that is listed, and what is refused."
import json, pickle, random, subprocess, sys, warnings

import numpy as np, pytest, safetensors.torch, torch, torch.nn.functional as F, torchvision
from fastai.vision.all import (CategoryBlock, CropPad, DataBlock, DihedralItem, DisplayedTransform, EndSplitter, FlipItem, ImageBlock, IntToFloatTensor, Learner, Normalize, PadMode, PILImageBW,
                               RandomCrop, RandomErasing, RandomResizedCrop, RandomResizedCropGPU, RatioResize, Resize, ResizeMethod, TensorImage, TransformBlock, aug_transforms, get_image_files, noop,
                               resnet18, squeezenet1_1, unet_learner, vision_learner, xresnet18)
from PIL import Image
from safetensors import safe_open
from torch import nn

from fastai_softlabels.all import (SoftBCEWithLogitsLossFlat, SoftCategoryBlock, SoftCrossEntropyLossFlat, SoftDiceBCELoss, SoftDiceCELoss, SoftDiceLoss,
                                   SoftLabelError, SoftMaskBlock, SoftMultiCategoryBlock, load_soft_learner, save_soft_learner)
from fastai_softlabels.losses import Abstaining, TemperatureScaled
from fastai_softlabels.persist import _describe_loss
from conftest import DIGITS

LABELS = {'category': lambda f: {c: int(f.stem) % (i + 2) + 1 for i, c in enumerate(DIGITS)}, 'multi': lambda f: {c: (int(f.stem) % 7)/7 for c in DIGITS}}


@pytest.fixture(scope='module')
def files(digits): return sorted(get_image_files(digits/'images'))[:24]


def loaders(files, block=SoftCategoryBlock, get_y=LABELS['category'], image=ImageBlock, item_tfms=Resize(32), **kwargs):
    return DataBlock(blocks=(image, block), get_y=get_y, splitter=EndSplitter(), item_tfms=item_tfms, **kwargs).dataloaders(files, bs=8, num_workers=0, device='cpu')


def mask_of(f): return (np.asarray(Image.open(f)) > 100).astype(np.uint8)


def there_and_back(learn, path, **kwargs):
    "The loaded learner, after seeing that it says the same, and that the random generators did not move"
    learn.model.eval()
    state = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    about = save_soft_learner(learn, path)
    loaded = load_soft_learner(path, **kwargs)
    assert torch.equal(torch.get_rng_state(), state[0]) and random.getstate() == state[1] and np.random.get_state()[1].tolist() == state[2]
    items = learn.dls.valid.items
    with learn.no_bar(), loaded.no_bar():
        assert torch.equal(*(l.get_preds(dl=l.dls.test_dl(items))[0] for l in (learn, loaded)))
        assert str(learn.predict(items[0])[0]) == str(loaded.predict(items[0])[0])
    assert list(loaded.dls.vocab) == list(learn.dls.vocab) and loaded.dls.c == learn.dls.c and str(loaded.loss_func) == str(learn.loss_func)
    assert not loaded.model.training
    return loaded, about


MODELS = {'resnet18': lambda d: vision_learner(d, resnet18, pretrained=False), 'xresnet18': lambda d: vision_learner(d, xresnet18, pretrained=False),
          'squeezenet1_1': lambda d: vision_learner(d, squeezenet1_1, pretrained=False), 'resnet18, a head of its own': lambda d: vision_learner(d, resnet18, pretrained=False, custom_head=nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))), 'not in fastai\'s table': lambda d: vision_learner(d, torchvision.models.shufflenet_v2_x0_5, pretrained=False),
          'timm resnet10t': lambda d: vision_learner(d, 'resnet10t', pretrained=False), 'timm vit': lambda d: vision_learner(d, 'test_vit', pretrained=False),
          'one linear layer': lambda d: vision_learner(d, resnet18, pretrained=False, lin_ftrs=[], ps=.3, first_bn=False), 'no pooling of both': lambda d: vision_learner(d, resnet18, pretrained=False, concat_pool=False),
          'three layers, bn last': lambda d: vision_learner(d, resnet18, pretrained=False, lin_ftrs=[32, 16], ps=[.1, 0., .5], bn_final=True), 'y_range': lambda d: vision_learner(d, resnet18, pretrained=False, y_range=(-3., 2.))}

@pytest.mark.parametrize('name', MODELS)
def test_architectures(files, tmp_path, name):
    item_tfms = Resize(160) if 'vit' in name else Resize(32)
    learn = MODELS[name](loaders(files, item_tfms=item_tfms))
    if 'of its own' in name:
        with pytest.warns(UserWarning, match=r'load_soft_learner\(path, model=…\)'): about = save_soft_learner(learn, tmp_path/'m.safetensors')
        assert about['needs'] == ['model'] and about['arch'] is None
        return
    loaded, about = there_and_back(learn, tmp_path/'m.safetensors')
    assert about['needs'] == [] and type(loaded.model) is type(learn.model)
    assert save_soft_learner(loaded, tmp_path/'again.safetensors') == about, 'what was loaded can be saved again'
    loaded.freeze() # its parts are known
    assert loaded.opt.frozen_idx == len(learn.splitter(learn.model)) - 1


def test_grey_images(files, tmp_path):
    learn = vision_learner(loaders(files, image=ImageBlock(PILImageBW), batch_tfms=Normalize.from_stats([.4], [.3], cuda=False)), resnet18, pretrained=False, n_in=1)
    loaded, about = there_and_back(learn, tmp_path/'m.safetensors')
    assert about['images']['input'] == 'PILImageBW' and next(loaded.model.parameters()).shape[1] == 1


@pytest.mark.parametrize('kwargs', [{}, dict(self_attention=True, blur=True), dict(last_cross=False, y_range=(-2., 2.))], ids=str)
def test_unets(files, tmp_path, kwargs):
    dls = loaders(files, SoftMaskBlock(['ground', 'ink']), mask_of, item_tfms=Resize((32, 64)))
    loaded, about = there_and_back(unet_learner(dls, resnet18, pretrained=False, **kwargs), tmp_path/'m.safetensors')
    assert about['arch']['args']['img_size'] == [32, 64] and about['needs'] == []
    assert save_soft_learner(loaded, tmp_path/'again.safetensors') == about


WEIGHTS = [float(i + 1) for i in range(10)]
LOSSES = {'cross-entropy': ('category', SoftCrossEntropyLossFlat(weight=WEIGHTS, label_smoothing=.1, kl=True)), 'BCE': ('multi', SoftBCEWithLogitsLossFlat(weight=WEIGHTS, pos_weight=WEIGHTS[::-1], thresh=.3)),
          'temperature': ('category', TemperatureScaled(SoftCrossEntropyLossFlat(), 1/3)), 'threshold': ('category', Abstaining(SoftCrossEntropyLossFlat(), .15)),
          'both': ('multi', Abstaining(TemperatureScaled(SoftBCEWithLogitsLossFlat(), 2.5), .6)), 'promise': ('category', Abstaining(SoftCrossEntropyLossFlat(), .15, risk=.05))}

@pytest.mark.parametrize('name', LOSSES)
def test_losses_of_items(files, tmp_path, name):
    kind, loss = LOSSES[name]
    block = SoftCategoryBlock(DIGITS) if kind == 'category' else SoftMultiCategoryBlock(DIGITS, ignore=True, n_votes=None)
    learn = vision_learner(loaders(files, block, LABELS[kind]), resnet18, pretrained=False, loss_func=loss)
    loaded, about = there_and_back(learn, tmp_path/'m.safetensors')
    logits, y = torch.randn(4, 10), torch.rand(4, 10)
    y = y/y.sum(1, keepdim=True)
    assert torch.equal(loss(logits, y), loaded.loss_func(logits, y)) and torch.equal(loss.decodes(loss.activation(logits)), loaded.loss_func.decodes(loss.activation(logits)))
    assert getattr(loaded.loss_func, 'risk', None) == getattr(loss, 'risk', None)
    assert about['temperature'] == getattr(loss if isinstance(loss, TemperatureScaled) else loss.loss if isinstance(loss, Abstaining) else None, 'temperature', None)


MASK_LOSSES = {'Dice': (False, SoftDiceLoss(activation='sigmoid', smooth=.5, aggregate='class', classes='present', thresh=.4)), 'Dice, softmax': (True, SoftDiceLoss(reduction='sum')),
               'Dice + BCE': (False, SoftDiceBCELoss(.3, pos_weight=[2., 3.], neg_weight=.5, thresh=.6)), 'Dice + BCE, plain': (False, SoftDiceBCELoss()), 'Dice + CE': (True, SoftDiceCELoss(.7, weight=[1., 5.], smooth=2.)),
               'cross-entropy': (True, SoftCrossEntropyLossFlat(axis=1)), 'BCE': (False, SoftBCEWithLogitsLossFlat(axis=1))}

@pytest.mark.parametrize('name', MASK_LOSSES)
def test_losses_of_masks(files, tmp_path, name):
    exclusive, loss = MASK_LOSSES[name]
    block = SoftMaskBlock(['ground', 'ink', 'void'], exclusive=exclusive, ignore=['void'], loss_func=loss)
    dls, net = loaders(files, block, mask_of), nn.Sequential(nn.Conv2d(3, 2, 3, padding=1))
    with pytest.warns(UserWarning, match='model=…'): loaded, about = there_and_back(Learner(dls, net), tmp_path/'m.safetensors', model=nn.Sequential(nn.Conv2d(3, 2, 3, padding=1)))
    logits, y = torch.randn(2, 2, 8, 8), torch.rand(2, 2, 8, 8)
    y = y/y.sum(1, keepdim=True)
    assert torch.equal(loss(logits, y), loaded.loss_func(logits, y)) and repr(loaded.loss_func) == repr(loss)
    assert about['block']['args'] == {'codes': ['ground', 'ink', 'void'], 'exclusive': exclusive, 'ignore': ['void']} and about['needs'] == ['model']


TFMS = {'Resize, not square': dict(item_tfms=Resize((20, 28))), 'squish': dict(item_tfms=Resize(24, method=ResizeMethod.Squish)), 'pad': dict(item_tfms=Resize(24, ResizeMethod.Pad, pad_mode=PadMode.Zeros)),
        'nearest': dict(item_tfms=Resize(30, resamples=(Image.Resampling.NEAREST, Image.Resampling.NEAREST))), 'CropPad': dict(item_tfms=CropPad((6, 10))), 'RandomCrop': dict(item_tfms=RandomCrop((6, 5))),
        'RandomResizedCrop': dict(item_tfms=RandomResizedCrop((24, 16), min_scale=.5, val_xtra=.3)), 'RatioResize': dict(item_tfms=RatioResize(20)),
        'RandomResizedCropGPU': dict(batch_tfms=RandomResizedCropGPU((16, 24), valid_scale=.8)), 'aug_transforms': dict(batch_tfms=aug_transforms(size=(20, 28), flip_vert=True)), 'aug_transforms without size': dict(batch_tfms=aug_transforms()),
        'Normalize': dict(batch_tfms=[*aug_transforms(size=28, min_scale=.7), Normalize()]), 'FlipItem': dict(item_tfms=[Resize(32), FlipItem(), DihedralItem()]), 'RandomErasing': dict(batch_tfms=RandomErasing()), 'div': dict(batch_tfms=IntToFloatTensor(div=127.))}

@pytest.mark.parametrize('name', TFMS)
def test_transforms(files, tmp_path, name):
    dls = loaders(files, **TFMS[name])
    if name != 'div': dls.train.one_batch() # fastai's transforms remember whom they saw last
    learn = Learner(dls, nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 10)))
    with pytest.warns(UserWarning, match='model=…'): loaded, _ = there_and_back(learn, tmp_path/'m.safetensors', model=nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 10)))
    ours, theirs = (l.dls.test_dl(files, bs=24).one_batch()[0] for l in (learn, loaded))
    assert ours.shape == theirs.shape and torch.equal(ours, theirs)


class Brighter(DisplayedTransform):
    order = 20
    def encodes(self, x: TensorImage): return (x + .1).clamp(0, 1)

class OwnLoss(nn.Module):
    def forward(self, x, y): return SoftCrossEntropyLossFlat()(x, y)

STRANGE = {'a transform': (dict(batch_tfms=Brighter()), None, 'Brighter'), 'a loss': ({}, OwnLoss(), 'the loss OwnLoss'), 'an altered transform': (dict(item_tfms=Resize(32, before_call=lambda b, split_idx: None)), None, 'Resize')}

@pytest.mark.parametrize('name', STRANGE)
def test_what_is_not_listed_asks_for_dls(files, tmp_path, name):
    kwargs, loss, word = STRANGE[name]
    if name == 'an altered transform': kwargs['item_tfms'].pcts = (.5, .5)
    dls, path = loaders(files, **{**kwargs, 'block': SoftCategoryBlock(DIGITS, loss_func=loss)}), tmp_path/'m.safetensors'
    learn = vision_learner(dls, resnet18, pretrained=False)
    with pytest.warns(UserWarning, match=f'{word} cannot be written as text.*dls=…'): about = save_soft_learner(learn, path)
    assert about['needs'] == ['dls']
    with pytest.raises(SoftLabelError, match='Build the `DataLoaders` as they were, and give them: `dls=`'): load_soft_learner(path)
    loaded = load_soft_learner(path, dls=dls)
    with learn.no_bar(), loaded.no_bar():
        for a, b in zip(learn.get_preds(), loaded.get_preds()): assert torch.equal(a, b)
    with loaded.no_bar(), loaded.no_logging(): loaded.fit(1) # it can be trained on


def test_own_model(files, tmp_path):
    def net(n=10): return nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, n))
    path, learn = tmp_path/'m.safetensors', Learner(loaders(files), net())
    with pytest.warns(UserWarning, match=r'the model \(Sequential\) is not what `vision_learner`'): save_soft_learner(learn, path)
    for wrong, words in ((None, 'Build it, and give it: `model=`'), (net(9), r"'2\.bias' has the size \(10,\) in the file and \(9,\) in the model, and 1 more"), (nn.Linear(2, 2), "'2.bias' is only in the file, and 3 more")):
        before = None if wrong is None else [p.clone() for p in wrong.parameters()]
        with pytest.raises(SoftLabelError, match=words): load_soft_learner(path, model=wrong)
        assert before is None or all(torch.equal(a, b) for a, b in zip(before, wrong.parameters())), 'nothing was taken'


def test_other_classes(files, tmp_path):
    path = tmp_path/'m.safetensors'
    save_soft_learner(vision_learner(loaders(files), resnet18, pretrained=False), path)
    with pytest.raises(SoftLabelError, match=r"The classes of these DataLoaders, \['9', .*, are not those in"): load_soft_learner(path, dls=loaders(files, SoftCategoryBlock(DIGITS[::-1])))
    with pytest.raises(SoftLabelError, match="The block of these DataLoaders, 'SoftMultiCategoryBlock', are not those in .*, 'SoftCategoryBlock'"): load_soft_learner(path, dls=loaders(files, SoftMultiCategoryBlock(DIGITS), LABELS['multi']))


@pytest.mark.parametrize('block,get_y', [(CategoryBlock, lambda f: f.stem[-1]), ((SoftCategoryBlock, SoftCategoryBlock), None)], ids=['hard', 'two targets'])
def test_only_one_soft_target(files, tmp_path, block, get_y):
    blocks = (ImageBlock, *block) if isinstance(block, tuple) else (ImageBlock, block)
    y = [LABELS['category']]*2 if get_y is None else get_y
    dls = DataBlock(blocks=blocks, get_y=y, n_inp=1, splitter=EndSplitter(), item_tfms=Resize(32)).dataloaders(files, bs=8, num_workers=0, device='cpu')
    with pytest.raises(SoftLabelError, match=r'expected one target, of `SoftCategoryBlock`.*`learn\.export`'): save_soft_learner(Learner(dls, nn.Linear(2, 2), loss_func=noop), tmp_path/'m.safetensors')
    assert list(tmp_path.iterdir()) == []


def test_class_names(files, tmp_path):
    for names, same in (([3, 'a', 1.5, True], True), ([('a', 'b'), 'c', 'd', 'e'], False)):
        dls = loaders(files, SoftCategoryBlock(names), lambda f: [.25]*4)
        learn = vision_learner(dls, resnet18, pretrained=False)
        if same:
            loaded, _ = there_and_back(learn, tmp_path/'m.safetensors')
            assert [type(c) for c in loaded.dls.vocab] == [int, str, float, bool]
        else:
            with pytest.raises(SoftLabelError, match=r"The class \('a', 'b'\) is a tuple; only texts and numbers"): save_soft_learner(learn, tmp_path/'other.safetensors')


@pytest.fixture(scope='module')
def saved(files, tmp_path_factory):
    path = tmp_path_factory.mktemp('saved')/'m.safetensors'
    save_soft_learner(vision_learner(loaders(files), resnet18, pretrained=False), path)
    return path


def altered(saved, path, **changes):
    "A copy whose description says something else; `about` is a whole text"
    with safe_open(saved, 'pt') as f: about, tensors = json.loads(f.metadata()['fastai_softlabels']), {k: f.get_tensor(k) for k in f.keys()}
    for at, value in changes.items():
        *way, last = at.split('__')
        d = about
        for k in way: d = d[int(k) if isinstance(d, list) else k]
        d[last] = value
    safetensors.torch.save_file(tensors, path, {'fastai_softlabels': json.dumps(about)})
    return path


ALTERED = {'newer': (dict(version=99), 'version 99 of the format.*reads up to 1. Upgrade'), 'no version': (dict(version='one'), 'has no version'),
           'another transform': (dict(images__after_item__0__name='system'), "the transform 'system', which is not one of"), 'code as argument': (dict(images__after_item__0__args__before_call='print'), "an argument 'before_call'"),
           'another loss': (dict(loss__name='CrossEntropyLoss'), "the loss 'CrossEntropyLoss', which is not one of"), 'another block': (dict(block={'name': 'eval', 'args': {}}), "the block 'eval'"), 'block is a list': (dict(block=['eval']), 'the block'),
           'name is a list': (dict(loss={'name': ['a'], 'args': {}}), r"the loss \"\['a'\]\""), 'hub address': (dict(arch__args__source='timm', arch__args__arch='hf-hub:some/one'), "'hf-hub:some/one' is not listed by timm"),
           'module path': (dict(arch__args__source='torchvision', arch__args__arch='os.system'), "'os.system' is not listed by torchvision"), 'unknown source': (dict(arch__args__source='builtins', arch__args__arch='eval'), 'not listed by builtins'),
           'another builder': (dict(arch__name='exec'), "the model 'exec', which is not one of"), 'another width': (dict(arch__args__lin_ftrs=[7]), 'do not fit this Sequential.*Give the `model=`'), 'text for a number': (dict(arch__args__lin_ftrs='many'), "the model 'vision_learner' cannot be made"),
           'fewer classes': (dict(block__args__vocab=['a', 'b']), 'do not fit this Sequential'), 'class twice': (dict(block__args__vocab=['a', 'a']), 'names the class'), 'temperature': (dict(temperature=-1), 'temperature is -1'), 'temperature is a text': (dict(temperature='hot'), "temperature is 'hot'"), 'threshold': (dict(threshold=7), 'thresh is 7'),
           'images': (dict(images='none'), 'does not say how images are read'), 'another opener': (dict(images__input='PILMask'), 'does not say how images are read'), 'tfms no list': (dict(images__after_item='Resize'), 'transform'), 'size': (dict(images__after_item__0__args__size='big'), 'the transforms that it lists cannot be applied'),
           'no size': (dict(images__after_item__0__args__size=[]), "the transform 'Resize' cannot be made"), 'size 0': (dict(images__after_item__0__args__size=[0, 0]), 'm.safetensors: the transforms that it lists cannot be applied'), 'endless size': (dict(images__after_item__0__args__size=[10**12]*2), 'm.safetensors: the transforms'),
           'version 0': (dict(version=0), 'has no version'), 'version is true': (dict(version=True), 'has no version'), 'no number': (dict(temperature=float('nan')), 'description in .*m.safetensors is damaged .NaN is no number'), 'endless temperature': (dict(temperature=10**400), r'm.safetensors cannot be loaded as it describes itself \(OverflowError'),
           'tfms missing': (dict(images__after_item=None), 'm.safetensors lists no transforms'), 'classes missing': (dict(block__args__vocab=None), 'm.safetensors names no classes'), 'arch is a number': (dict(arch__args__source='timm', arch__args__arch=5), 'm.safetensors.*is not listed by timm'),
           'endless layer': (dict(arch__args__lin_ftrs=[10**9]), 'do not fit this Sequential'), 'endless classes': (dict(block__args__vocab=[f'c{i}' for i in range(50000)]), 'do not fit this Sequential'), 'three bounds': (dict(arch__args__y_range=[1, 2, 3]), "m.safetensors: the model 'vision_learner' cannot be made"),
           'another size of image': (dict(arch__args__source='torchvision', arch__args__arch='vit_b_16'), "m.safetensors: the model 'vision_learner' cannot be made"), 'temperature, named': (dict(temperature=-1), 'm.safetensors: temperature is -1')}

@pytest.mark.parametrize('name', ALTERED)
def test_altered_files(saved, tmp_path, name):
    changes, words = ALTERED[name]
    with pytest.raises(SoftLabelError, match=words): load_soft_learner(altered(saved, tmp_path/'m.safetensors', **changes))


@pytest.mark.parametrize('changes,words', [(dict(block='x'), 'cannot be loaded as it describes itself'), (dict(block={'name': 'SoftCategoryBlock', 'args': []}), 'cannot be loaded as it describes itself'), (dict(block__args__vocab=5), 'cannot be loaded as it describes itself'), (dict(block__args__vocab=['c']*99999), r"The classes .* in .*m\.safetensors, \['c', 'c', .{,150}… Give `dls=`|….*Give `dls=`")])
def test_altered_files_with_dls(saved, files, tmp_path, changes, words):
    with pytest.raises(SoftLabelError, match=words) as e: load_soft_learner(altered(saved, tmp_path/'m.safetensors', **changes), dls=loaders(files))
    assert 'm.safetensors' in str(e.value) and len(str(e.value)) < 1000


def test_deep_descriptions(saved, tmp_path):
    for text in ('['*100_000, '{"a":'*100_000):
        safetensors.torch.save_file({'a': torch.ones(1)}, tmp_path/'m.safetensors', {'fastai_softlabels': text})
        with pytest.raises(SoftLabelError, match=r'description in .*m\.safetensors is damaged'): load_soft_learner(tmp_path/'m.safetensors')


AROUND = {'twice': (lambda f: TemperatureScaled(TemperatureScaled(f, 3.), 2.), 6., None), 'threshold inside': (lambda f: TemperatureScaled(Abstaining(f, .3), 2.), 2., .3),
          'two thresholds': (lambda f: Abstaining(TemperatureScaled(Abstaining(f, .3), np.float32(2)), .4), 2., .4)}

@pytest.mark.parametrize('name', AROUND)
def test_losses_around_losses(files, tmp_path, name):
    around, temperature, threshold = AROUND[name]
    loss, path = around(SoftCrossEntropyLossFlat()), tmp_path/'m.safetensors'
    about = save_soft_learner(vision_learner(loaders(files), resnet18, pretrained=False, loss_func=loss), path)
    assert (about['temperature'], about['threshold']) == (temperature, threshold)
    loaded, logits = load_soft_learner(path).loss_func, torch.randn(50, 10)
    probs = loss.activation(logits)
    torch.testing.assert_close(loaded.activation(logits), probs)
    assert torch.equal(loaded.decodes(probs), loss.decodes(probs)) and (threshold is None or (loaded.decodes(probs) == 10).any())


class OwnCrossEntropy(SoftCrossEntropyLossFlat):
    def activation(self, x): return x.sigmoid()

@pytest.mark.parametrize('loss', [OwnCrossEntropy(), nn.CrossEntropyLoss(), TemperatureScaled(OwnCrossEntropy(), 2.)], ids=lambda f: type(f).__name__)
def test_a_loss_of_the_learner_alone_has_to_come_with_dls(files, tmp_path, loss):
    "fastai's `loss_func=` of a learner is not in its `DataLoaders`, which would infer another one"
    path, learn = tmp_path/'m.safetensors', vision_learner(loaders(files), resnet18, pretrained=False, loss_func=loss)
    name = 'CrossEntropyLoss' if isinstance(loss, nn.CrossEntropyLoss) else 'OwnCrossEntropy'
    with pytest.warns(UserWarning, match=f'the loss {name} cannot be written as text'): save_soft_learner(learn, path)
    with pytest.raises(SoftLabelError, match=f"was trained with the loss '{name}', but these DataLoaders infer SoftCrossEntropyLossFlat. Build their block with it: `loss_func=`"): load_soft_learner(path, dls=learn.dls)
    loaded = load_soft_learner(path, dls=loaders(files, SoftCategoryBlock(DIGITS, loss_func=getattr(loss, 'loss', loss))))
    act = None if hasattr(loss, 'activation') else torch.nn.Softmax(1) # PyTorch's gives logits to a learner, and probabilities where a block has it
    with learn.no_bar(), loaded.no_bar(): assert torch.equal(learn.get_preds(act=act)[0], loaded.get_preds()[0])


CHANGES = {'a hook': lambda m: m[1].register_forward_hook(lambda m, i, o: o*5), 'a hook before': lambda m: m[0].register_forward_pre_hook(lambda m, i: (i[0]*5,)), 'a method': lambda m: setattr(m[1], 'forward', lambda x: torch.zeros(len(x), 10))}

@pytest.mark.parametrize('name', CHANGES)
def test_a_model_that_was_changed_has_to_be_given(files, tmp_path, name):
    learn = vision_learner(loaders(files), resnet18, pretrained=False)
    CHANGES[name](learn.model)
    with pytest.warns(UserWarning, match='Whoever loads it must give it'): assert save_soft_learner(learn, tmp_path/'m.safetensors')['needs'] == ['model']


def test_what_is_changed_on_the_way_to_the_model(files, tmp_path):
    class Inverted:
        @classmethod
        def create(cls, fn, **kwargs): return PILImageBW(Image.fromarray(255 - np.asarray(PILImageBW.create(fn))))
    nearest = Resize(32)
    nearest.mode = Image.Resampling.NEAREST
    for kwargs, word in ((dict(image=TransformBlock(type_tfms=Inverted.create, batch_tfms=IntToFloatTensor)), 'the inputs'), (dict(item_tfms=nearest), 'Resize')):
        with pytest.warns(UserWarning, match=f'{word} cannot be written as text.*dls='): save_soft_learner(vision_learner(loaders(files, **kwargs), resnet18, pretrained=False, n_in=1 if 'image' in kwargs else 3), tmp_path/'m.safetensors')


@pytest.mark.parametrize('wrap', [nn.DataParallel, torch.compile], ids=['DataParallel', 'compile'])
def test_what_is_around_the_model_stays_out(files, tmp_path, wrap):
    learn = vision_learner(loaders(files), resnet18, pretrained=False)
    bare = learn.model.eval()
    learn.model = wrap(bare)
    assert save_soft_learner(learn, tmp_path/'m.safetensors')['needs'] == []
    x = torch.rand(2, 3, 32, 32)
    assert torch.equal(load_soft_learner(tmp_path/'m.safetensors').model(x), bare.cpu()(x)) # `DataParallel` takes it to a GPU


@pytest.mark.parametrize('net', [nn.LazyLinear(10), nn.Linear(2, 10, device='meta')], ids=['lazy', 'meta'])
def test_weights_without_numbers(files, tmp_path, net):
    with pytest.raises(SoftLabelError, match="'weight' of the model have no numbers yet"): save_soft_learner(Learner(loaders(files), net, opt_func=noop), tmp_path/'m.safetensors')
    assert list(tmp_path.iterdir()) == []


def test_a_link_stays_one(files, saved, tmp_path):
    link, target = tmp_path/'link.safetensors', tmp_path/'target.safetensors'
    target.write_text('old')
    link.symlink_to(target)
    save_soft_learner(load_soft_learner(saved), link)
    assert link.is_symlink() and target.read_bytes() == saved.read_bytes() and len(list(tmp_path.iterdir())) == 2


def test_damaged_files(saved, tmp_path):
    path, whole = tmp_path/'m.safetensors', saved.read_bytes()
    for content in (whole[:-100], whole[:40], b'', pickle.dumps({'a': 1}), whole[:8] + b'\0'*50 + whole[58:]):
        path.write_bytes(content)
        with pytest.raises(SoftLabelError, match='is damaged, or not a safetensors file'): load_soft_learner(path)
    safetensors.torch.save_file({'a': torch.ones(1)}, path)
    with pytest.raises(SoftLabelError, match='no soft-label learner'): load_soft_learner(path)
    safetensors.torch.save_file({'a': torch.ones(1)}, path, {'fastai_softlabels': '{"version": 1'})
    with pytest.raises(SoftLabelError, match='description in .* is damaged'): load_soft_learner(path)
    with pytest.raises(FileNotFoundError, match='There is no file'): load_soft_learner(tmp_path/'none.safetensors')
    with pytest.raises(IsADirectoryError, match='is a folder. Give the file in it'): load_soft_learner(tmp_path)


AUDIT = """
import sys, warnings
from fastai.vision.all import *
from fastai_softlabels.all import *
import timm
def load():
    learn = load_soft_learner(sys.argv[1])
    with learn.no_bar(): return learn.predict(Path(sys.argv[2]))[0]
load() # what is imported or compiled once is Python's own doing
seen, watch = [], ('pickle.find_class', 'exec', 'compile', 'os.system', 'subprocess.Popen', 'os.exec', 'os.posix_spawn', 'socket.connect', 'marshal.loads')
sys.addaudithook(lambda event, args: seen.append((event, str(args)[:200])) if event in watch else None)
load_soft_learner(sys.argv[1])
found = list(seen)
torch.load(sys.argv[3], weights_only=False) # the hook does hear a pickle
print(found, any(e == 'pickle.find_class' for e, _ in seen))
"""

def test_loading_runs_no_code(saved, files, tmp_path):
    torch.save(nn.Linear(1, 1), tmp_path/'pickle.pt')
    out = subprocess.run([sys.executable, '-c', AUDIT, saved, files[0], tmp_path/'pickle.pt'], capture_output=True, text=True, timeout=180)
    assert out.stdout.strip() == '[] True', out.stdout + out.stderr


def test_shared_weights(files, tmp_path):
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.head = nn.Linear(12, 12), nn.Linear(12, 12), nn.Linear(12, 10)
            self.b.weight = self.a.weight
        def forward(self, x): return self.head(self.b(self.a(F.adaptive_avg_pool2d(x, 2).flatten(1))))
    with pytest.warns(UserWarning, match='model=…'): loaded, _ = there_and_back(Learner(loaders(files), Tied()), tmp_path/'m.safetensors', model=Tied())
    assert loaded.model.a.weight is loaded.model.b.weight


def test_state_that_is_no_tensor(files, tmp_path):
    class Remembers(nn.Linear):
        def get_extra_state(self): return 'a text'
        def set_extra_state(self, s): pass
    with pytest.raises(SoftLabelError, match="keeps a str in its state .*`learn.export`"): save_soft_learner(Learner(loaders(files), Remembers(2, 2)), tmp_path/'m.safetensors')
    assert list(tmp_path.iterdir()) == []


def test_who_may_read_the_file(files, saved, tmp_path):
    "As of any new file, or as of the one that it replaces"
    (tmp_path/'any').touch()
    assert saved.stat().st_mode == (tmp_path/'any').stat().st_mode
    learn, path = load_soft_learner(saved), tmp_path/'m.safetensors'
    path.touch()
    path.chmod(0o640)
    save_soft_learner(learn, path)
    assert path.stat().st_mode & 0o777 == 0o640


def test_things_in_the_wrong_place(files, saved, tmp_path):
    learn = load_soft_learner(saved)
    for call, error, words in ((lambda: save_soft_learner(tmp_path/'m.safetensors', learn), SoftLabelError, 'expected a `Learner`'), (lambda: save_soft_learner(learn.dls, tmp_path/'m.safetensors'), SoftLabelError, 'expected a `Learner`'),
                               (lambda: save_soft_learner(learn, tmp_path), OSError, 'it is a folder. Give the name of a file'), (lambda: save_soft_learner(learn, tmp_path/'none'/'m.safetensors'), OSError, 'No such file or directory'),
                               (lambda: load_soft_learner(learn), TypeError, '`path` is a Learner'), (lambda: save_soft_learner(learn, None), TypeError, '`path` is a NoneType; expected the path of a file'), (lambda: save_soft_learner(learn, b'm'), TypeError, '`path` is a bytes'), (lambda: load_soft_learner(saved, model=learn), TypeError, r'`model` is a Learner; expected an `nn.Module`, built \(of a learner: `learn.model`\)'),
                               (lambda: load_soft_learner(saved, model=resnet18), TypeError, '`model` is a function'), (lambda: load_soft_learner(saved, dls=files), SoftLabelError, '`dls` is a list; expected `DataLoaders`'),
                               (lambda: load_soft_learner(saved, dls=loaders(files, CategoryBlock, lambda f: f.stem[-1])), SoftLabelError, r'targets of these DataLoaders \(1\) 0 have soft labels.*as they were when the learner was saved')):
        with pytest.raises(error, match=words): call()


@pytest.mark.parametrize('inner, outer, expected', [((.3, .1), (.4, None), (.4, None)), ((.3, None), (.4, .05), (.4, .05)), ((.5, .2), (.4, .05), (.5, .2))])
def test_the_promise_is_that_of_the_threshold_that_decides(inner, outer, expected):
    described = _describe_loss(Abstaining(Abstaining(SoftCrossEntropyLossFlat(), *inner), *outer))
    assert (described['threshold'], described['risk']) == expected


def test_dataloaders_with_other_transforms_are_warned_of(files, tmp_path):
    def dls(*tfms, size=8): return DataBlock((ImageBlock, SoftCategoryBlock(DIGITS)), get_y=lambda f: DIGITS[0], splitter=EndSplitter(.2), item_tfms=Resize(size), batch_tfms=tfms).dataloaders(files, bs=4, num_workers=0)
    def net(): return nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 10))
    norm = lambda mean: Normalize.from_stats([mean]*3, [.25]*3, cuda=False)
    path = tmp_path/'l.safetensors'
    with pytest.warns(UserWarning, match='Whoever loads it must give it'): save_soft_learner(Learner(dls(norm(.5)), net()), path)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        load_soft_learner(path, model=net(), dls=dls(norm(.5)))
        load_soft_learner(path, model=net(), dls=dls(*aug_transforms(), norm(.5))) # of training images alone
    for other in (dls(), dls(norm(.4)), dls(norm(.5), size=16)):
        with pytest.warns(UserWarning, match='transform images in another way than when the learner was saved'): load_soft_learner(path, model=net(), dls=other)


def test_a_threshold_for_each_class(files, tmp_path):
    block = SoftMultiCategoryBlock(DIGITS, thresh=[i/20 for i in range(10)])
    learn = vision_learner(loaders(files, block, LABELS['multi']), resnet18, pretrained=False)
    loaded, _ = there_and_back(learn, tmp_path/'m.safetensors')
    assert loaded.loss_func.thresh == learn.loss_func.thresh == [i/20 for i in range(10)]
