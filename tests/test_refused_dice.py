"What Dice losses refuse."
from refusals import *

REFUSED = {
    'SoftDiceLoss': [
        case('unknown option', lambda: SoftDiceLoss(activation='tanh'), "activation is 'tanh'; expected one of", "'sigmoid'", error=ValueError),
        case('unknown aggregate', lambda: SoftDiceLoss(aggregate='pixel'), "aggregate is 'pixel'", "'class'", error=ValueError),
        case('unknown choice of classes', lambda: SoftDiceLoss(classes='some'), "classes is 'some'", "'present'", error=ValueError),
        case('unknown reduction', lambda: SoftDiceLoss(reduction='average'), "reduction is 'average'", error=ValueError),
        case('negative setting', lambda: SoftDiceLoss(smooth=-1), 'smooth is -1', 'a finite number of pixels', error=ValueError),
        case('NaN', lambda: SoftDiceLoss(smooth=float('nan')), 'smooth is nan', error=ValueError),
        case('infinite number', lambda: SoftDiceLoss(smooth=float('inf')), 'smooth is inf', 'a finite number of pixels', error=ValueError),
        case('a text for a setting', lambda: SoftDiceLoss(smooth='1'), "smooth is '1'", error=ValueError),
        case('out of range', lambda: SoftDiceLoss(thresh=2), 'thresh is 2', 'a probability in [0,1]', error=ValueError),
        case('axis of the items', lambda: SoftDiceLoss(axis=0), 'axis is 0', 'the items', error=ValueError),
        case('axis that is none', lambda: SoftDiceLoss(axis=9)(maps, masks), 'axis=9', '(2, 3, 4, 4)'),
        case('would broadcast', lambda: SoftDiceLoss()(maps, masks[:, :1]), '(2, 3, 4, 4)', '(2, 1, 4, 4)', 'Nothing is broadcast'),
        case('index of no class', lambda: SoftDiceLoss()(maps, torch.full((2, 4, 4), 3)), 'class index 3', '0 to 2'),
        case('softmax over one class', lambda: SoftDiceLoss(activation='softmax')(maps[:, :1], masks[:, :1]), 'softmax over one class is 1'),
        case('a tuple of predictions', lambda: SoftDiceLoss()((maps, maps), masks), 'logits are a tuple', 'one tensor'),
    ],
    'SoftDiceBCELoss': [
        case('out of range', lambda: SoftDiceBCELoss(1.5), 'dice_weight is 1.5', 'a share in [0,1]', error=ValueError),
        case('weights all 0', lambda: SoftDiceBCELoss(pos_weight=0.), '`pos_weight` is 0.0', 'finite weights above 0', error=ValueError),
        case('negative weight', lambda: SoftDiceBCELoss(neg_weight=[1., -1.]), '`neg_weight` is [1.0, -1.0]', error=ValueError),
        case('a text for weights', lambda: SoftDiceBCELoss(pos_weight='a'), "`pos_weight` is 'a'", error=ValueError),
        case('weights of another length', lambda: SoftDiceBCELoss(0., pos_weight=[1., 2.])(maps[:, :1], masks[:, :1]), '`pos` has shape (2,), but the logits have 1 classes'),
        case('would broadcast', lambda: SoftDiceBCELoss()(maps, masks[..., :1]), '(2, 3, 4, 1)', 'Nothing is broadcast'),
    ],
    'SoftDiceCELoss': [
        case('NaN', lambda: SoftDiceCELoss(float('nan')), 'dice_weight is nan', error=ValueError),
        case('a text for a setting', lambda: SoftDiceCELoss('half'), "dice_weight is 'half'", 'a share in [0,1]', error=ValueError),
        case('negative weight', lambda: SoftDiceCELoss(weight=[-1.]), '`weight` is [-1.0]', error=ValueError),
        case('would broadcast', lambda: SoftDiceCELoss()(maps, torch.rand(2, 3)), '(2, 3)', 'Nothing is broadcast'),
    ],
}


@pytest.mark.parametrize('refused', every(REFUSED))
def test_says_what_is_wrong(refused, tmp_path): check(refused, tmp_path)
