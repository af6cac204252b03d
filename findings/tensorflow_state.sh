#!/bin/sh
# A folder of TensorFlow's checkpoints has a file `checkpoint` that tells the latest. Of which folder?
#
# Guess: of the one that it is in; tf.train.latest_checkpoint(FOLDER) names a checkpoint in FOLDER.
# Found: Saver.save with an absolute path writes that path into the file. In a copy of the folder latest_checkpoint then
# names a checkpoint of the original, which may have been overwritten since: here it loads the original's newer number,
# not the copy's. Once the original is gone it finds none (None), though all files are in the copy. With a relative path
# Saver.save writes the bare name, and copies are read as they are.
#
# In this project: `a_folder_names_the_latest_wherever_it_was_written` in crates/formats/tests/tensorflow/reading.rs.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

python3 -m venv venv
venv/bin/pip install --quiet tensorflow-cpu==2.21.0 numpy==2.4.6
CUDA_VISIBLE_DEVICES= TF_CPP_MIN_LOG_LEVEL=3 venv/bin/python - 2>errors <<'PYTHON' || { cat errors; exit 1; }
import os
import shutil

import numpy
import tensorflow as tf

v1 = tf.compat.v1
print("tensorflow", tf.__version__)


def save(path, value):
    with tf.Graph().as_default(), v1.Session() as session:
        weight = v1.get_variable("w", initializer=numpy.float32(value))
        session.run(weight.initializer)
        v1.train.Saver().save(session, path, write_meta_graph=False)


def latest(folder):
    path = tf.train.latest_checkpoint(folder)
    print("latest_checkpoint(%r): %s" % (folder, path and path.replace(os.getcwd(), "/...")))
    return path


os.makedirs("absolute")
os.makedirs("relative")
save(os.path.abspath("absolute/params.ckpt"), 1)
save("relative/params.ckpt", 1)
for form in ["absolute", "relative"]:
    print(form, open(form + "/checkpoint").readline().strip().replace(os.getcwd(), "/..."))
    shutil.copytree(form, form + "-copy")
save(os.path.abspath("absolute/params.ckpt"), 2)
save("relative/params.ckpt", 2)

numbers = {form: float(tf.train.load_variable(latest(form), "w")) for form in ["absolute-copy", "relative-copy"]}
print(numbers)
assert numbers == {"absolute-copy": 2.0, "relative-copy": 1.0}

shutil.rmtree("absolute")
print("in the copy:", sorted(os.listdir("absolute-copy")))
assert latest("absolute-copy") is None
assert float(tf.train.load_variable("absolute-copy/params.ckpt", "w")) == 1.0
PYTHON
