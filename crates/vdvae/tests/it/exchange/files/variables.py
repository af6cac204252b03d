"""Writes params.ckpt, in the older format, as the published code of PixelCNN++ would: the weights of the recorded model
crates/models/tests/golden/pixelcnnpp/original.safetensors (param/), and as their averages those of init/.

pip install tensorflow-cpu==2.21.0 safetensors && python variables.py
"""

import os

os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.chdir(os.path.dirname(os.path.abspath(__file__)))

import numpy as np
import tensorflow as tf
from safetensors.numpy import load_file

v1 = tf.compat.v1
recorded = load_file("../../../../../models/tests/golden/pixelcnnpp/original.safetensors")
BLOCKS = 1

# Layers in the order in which the published code creates them.
conv, dense, deconv = [], [], []


def blocks(prefix, block, has_skip):
    for stream in ["u", "ul"]:
        name = f"{prefix}.{stream}_stream.{block}"
        conv.append(name + ".conv_input.conv")
        if has_skip or stream == "ul":
            dense.append(name + ".nin_skip.lin_a")
        conv.append(name + ".conv_out.conv")


conv += ["u_init.conv", "ul_init.0.conv", "ul_init.1.conv"]
for level in range(3):
    for block in range(BLOCKS):
        blocks(f"up_layers.{level}", block, False)
    if level < 2:
        conv += [f"downsize_u_stream.{level}.conv", f"downsize_ul_stream.{level}.conv"]
for level in range(3):
    for block in range(BLOCKS + (level > 0)):
        blocks(f"down_layers.{level}", block, True)
    if level < 2:
        deconv += [f"upsize_u_stream.{level}.deconv", f"upsize_ul_stream.{level}.deconv"]
dense.append("nin_out.lin_a")

variables = {}
for scope, layers in [("conv2d", conv), ("dense", dense), ("deconv2d", deconv)]:
    for number, layer in enumerate(layers):
        for folder, ending in [("param", ""), ("init", "/ExponentialMovingAverage")]:
            v, g, b = (recorded[f"{folder}/{layer}.{part}"] for part in ["weight_v", "weight_g", "bias"])
            # (out, in, kh, kw) to (kh, kw, in, out), of transposed ones (in, out, kh, kw) to (kh, kw, out, in).
            v = v.T if v.ndim == 2 else v.transpose(2, 3, 1, 0)
            for part, value in [("V", v), ("g", g.ravel()), ("b", b)]:
                variables[f"model/{scope}_{number}/{part}{ending}"] = value
# The optimizer's, under the names that they have.
variables["Variable"] = np.float32(3)
variables["Variable_1"] = np.zeros(4, np.float32)

with tf.Graph().as_default(), v1.Session() as session:
    for name, value in variables.items():
        v1.get_variable(name, initializer=tf.constant(value), use_resource=False)
    session.run(v1.global_variables_initializer())
    saver = v1.train.Saver(write_version=v1.train.SaverDef.V1)
    print(saver.save(session, "params.ckpt", write_meta_graph=False, write_state=False), len(variables))
