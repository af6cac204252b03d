"""Makes the .th files beside it, with PyTorch 2: one tiny model's weights in every form in which they occur.

Element i of tensor t is ((7 i + 13 t) mod 61 - 30) / 64: exact in 16 bits.
"""
import collections
import json
import os

import torch

SHAPES = json.load(open("shapes.json"))  # of the parameters of two models, in the order of the module


def values(t, shape):
    count = torch.Size(shape).numel()
    return (((7 * torch.arange(count) + 13 * t) % 61 - 30) / 64).reshape(shape)


weights = collections.OrderedDict((name, values(t, shape)) for t, (name, shape) in enumerate(SHAPES["tiny"].items()))
module = collections.OrderedDict(("module." + name, tensor) for name, tensor in weights.items())
module._metadata = collections.OrderedDict([("", {"version": 1})])
torch.save(module, "zip.th")
torch.save(weights, "legacy.th", _use_new_zipfile_serialization=False)

# One storage for all; turned axes; a parameter; other types of floats.
flat = torch.cat([tensor.flatten() for tensor in weights.values()])
views, at = {}, 0
for index, (name, tensor) in enumerate(weights.items()):
    view = flat[at:at + tensor.numel()].view(tensor.shape)
    at += tensor.numel()
    kind = index % 6
    if kind == 1:
        view = torch.nn.Parameter(view)
    elif kind == 2:
        view = view.half()
    elif kind == 3:
        view = view.bfloat16()
    elif kind == 4:
        view = tensor.transpose(0, -1).contiguous().transpose(0, -1)
    elif kind == 5:
        view = view.double()
    views[name] = view
torch.save(views, "views.th")
torch.save(views, "views-legacy.th", _use_new_zipfile_serialization=False)

# The optimizer of PyTorch, and the fused one, which counts updates in the group; keys as before PyTorch 1.6.
moments = [{"exp_avg": tensor / 8, "exp_avg_sq": tensor * tensor} for tensor in weights.values()]
group = {"lr": 1e-3, "betas": (0.9, 0.9), "eps": 1e-8, "weight_decay": 0.01}
torch.save({"state": {i: dict(m, step=torch.tensor(7.0)) for i, m in enumerate(moments)},
            "param_groups": [dict(group, params=list(range(len(moments))))]}, "opt.th")
keys = [139_000_000_000_000 + 56 * (i * 37 % len(moments)) for i in range(len(moments))]
torch.save({"state": {k: m for k, m in sorted(zip(keys, moments), key=lambda pair: pair[0])},
            "param_groups": [dict(group, step=7, bias_correction=True, params=keys)]},
           "opt-fused.th", _use_new_zipfile_serialization=False)


class Evil:
    def __reduce__(self):
        return os.system, ("touch evil-was-here",)


torch.save({"module.encoder.in_conv.weight": Evil()}, "evil.th")
torch.save({"module.encoder.in_conv.weight": Evil()}, "evil-legacy.th", _use_new_zipfile_serialization=False)

# Tensors far larger than their storage.
nothing = torch.zeros(1)
torch.save({name: nothing.expand(shape) for name, shape in SHAPES["photos32"].items()}, "photos32.th")
torch.save({"encoder.in_conv.weight": nothing.expand(2**40, 2**20)}, "huge.th")
