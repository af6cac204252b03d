"""Makes the nvae-*.pt files beside it, with PyTorch 2 and safetensors: checkpoints in the form of the published
code, of the model that crates/models/tests/golden/nvae/tiny_5bit.safetensors records, after its steps.

nvae-shapes.json names the parameters in the order of the module, and what else its state dictionary holds.
Element i of the first moment of parameter t is ((7 i + 13 t) mod 61 - 30) / 64, of the second (i mod 5 + 1) / 8.
"""
import argparse
import collections
import json

import torch
from safetensors.torch import load_file

SHAPES = json.load(open("nvae-shapes.json"))
recorded = load_file("../../../../../models/tests/golden/nvae/tiny_5bit.safetensors")

state = collections.OrderedDict()
for name in [*SHAPES["nvae"], *SHAPES["nvae buffers"]]:
    if name.endswith("num_batches_tracked"):
        state[name] = torch.tensor(3)
    else:
        # A weight inside a decoder's cell is there twice.
        state[name] = recorded["final/" + name.removesuffix("_normalized")]


def moments(t, shape):
    i = torch.arange(torch.Size(shape).numel())
    first = ((7 * i + 13 * t) % 61 - 30) / 64
    second = (i % 5 + 1) / 8
    return {"step": 3, "exp_avg": first.reshape(shape), "exp_inf": second.reshape(shape)}


arguments = dict(
    dataset="celeba_16", use_se=True, res_dist=False, num_x_bits=5, num_latent_scales=1, num_groups_per_scale=2,
    num_latent_per_group=3, ada_groups=True, min_groups_per_scale=1, num_channels_enc=4, num_channels_dec=4,
    num_preprocess_blocks=1, num_preprocess_cells=2, num_cell_per_cond_enc=1, num_postprocess_blocks=1,
    num_postprocess_cells=2, num_cell_per_cond_dec=1, num_mixture_dec=2, num_nf=0, arch_instance="res_mbconv",
    learning_rate=1e-2, save="/nowhere", fast_adamax=False, epochs=10, num_total_iter=30)
group = {"lr": 1e-2, "betas": (0.9, 0.999), "eps": 1e-3, "weight_decay": 3e-4, "initial_lr": 1e-2,
         "params": list(range(len(SHAPES["nvae"])))}
whole = {
    "epoch": 1,
    "state_dict": state,
    "optimizer": {"state": {t: moments(t, shape) for t, shape in enumerate(SHAPES["nvae"].values())},
                  "param_groups": [group]},
    "args": argparse.Namespace(**arguments),
    "arch_instance": {"normal_enc": ["res_bnswish", "res_bnswish"]},
    "scheduler": {"T_max": 9.0, "last_epoch": 0},
    "grad_scalar": {"scale": 1024.0, "growth_factor": 2.0},
}
torch.save(whole, "nvae-checkpoint.pt")
torch.save({"epoch": 1, "state_dict": state, "args": None}, "nvae-weights.pt")

# Arguments that two presets have, with next to no weights.
both = dict(arguments, dataset="celeba_256", res_dist=True, num_latent_scales=5, num_groups_per_scale=16,
            num_latent_per_group=20, min_groups_per_scale=4, num_channels_enc=30, num_channels_dec=30,
            num_cell_per_cond_enc=2, num_cell_per_cond_dec=2, num_mixture_dec=10, num_nf=2)
torch.save({"epoch": 1, "state_dict": {"stem.bias": torch.zeros(30)}, "args": argparse.Namespace(**both)},
           "nvae-256.pt")
