#!/bin/sh
# TensorFlow's older checkpoints (V1) may be in several files, and variables in several parts. Does that matter to a
# reader, as it does not with the newer ones (V2)?
#
# Guess: no; Saver.save returns what the names of the files begin with, a file of a set is known as that, and
# tf.train.load_variable puts parts together.
# Found, for V1: Saver.save returns a pattern, `x-?????-of-00002`; to what the names begin with (`x`) there is nothing.
# One file of the two opens as a checkpoint of its own, without a word: only its tensors are listed, and a variable of
# which it has one part of two has the shape of the whole. load_variable refuses every variable in parts ("Sliced
# checkpoints are not supported"), with all files there. For V2 the guess holds.
#
# In this project: `shards_and_parts_are_put_together` and `a_checkpoint_has_many_names` in
# crates/formats/tests/tensorflow/reading.rs, `missing_shards` in bad_files.rs.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

python3 -m venv venv
venv/bin/pip install --quiet tensorflow-cpu==2.21.0 numpy==2.4.6
CUDA_VISIBLE_DEVICES= TF_CPP_MIN_LOG_LEVEL=3 venv/bin/python - 2>errors <<'PYTHON' || { cat errors; exit 1; }
import glob

import tensorflow as tf

v1 = tf.compat.v1
print("tensorflow", tf.__version__)


def save(path, form):
    """`parts` has a row on each of two devices, `alone` is on the second."""
    config = v1.ConfigProto(device_count={"CPU": 2})
    with tf.Graph().as_default(), v1.Session(config=config) as session:
        with v1.device(lambda op: "/cpu:1" if "alone" in op.name or "/part_1" in op.name else "/cpu:0"):
            for name, shape, parts in [("parts", (2, 3), 2), ("alone", (4,), 1)]:
                partitioner = v1.fixed_size_partitioner(parts) if parts > 1 else None
                v1.get_variable(name, shape, partitioner=partitioner, use_resource=False)
        session.run(v1.global_variables_initializer())
        saver = v1.train.Saver(write_version=form, sharded=True)
        return saver.save(session, path, write_meta_graph=False)


def look(call, *arguments):
    try:
        result = call(*arguments)
    except Exception as error:
        result = "%s: %s" % (type(error).__name__, str(error).splitlines()[0])
    result = result.shape if hasattr(result, "shape") else result
    print("  %s%r: %s" % (call.__name__, arguments, result))
    return result


whole = [("alone", [4]), ("parts", [2, 3])]
for path, form in [("older", v1.train.SaverDef.V1), ("newer", v1.train.SaverDef.V2)]:
    saved = save(path, form)
    print(path + ":", saved, sorted(glob.glob(path + "*")))
    assert look(tf.train.list_variables, saved) == whole
    assert look(tf.train.load_variable, saved, "alone") == (4,)
    parts = look(tf.train.load_variable, saved, "parts")
    if path == "newer":
        assert saved == path and parts == (2, 3)
        continue
    assert saved == "older-?????-of-00002" and "Sliced checkpoints are not supported" in parts
    assert "Failed to find any matching files" in look(tf.train.list_variables, path)
    assert look(tf.train.list_variables, "older-00000-of-00002") == [("parts", [2, 3])]
PYTHON
