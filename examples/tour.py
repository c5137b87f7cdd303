# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A tour of simbench
#
# Train a retrieval method, score it beside a floor, look at what it learnt, search with it, and turn embeddings back into
# images: about five minutes on two CPU cores. The same can be done by commands (`simbench run`, `report`, `search`, `decode`);
# here it is Python.
#
# This notebook is made from `examples/tour.py` by `make tour`. Setup: `pip install -e .` in the repository.

# %%
import os

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import Image as Picture
from IPython.display import display

import bench

DATASET = os.environ.get(
    "TOUR_DATASET", "fashionmnist"
)  # `simbench fetch fashionmnist` gets it; "digits" is always there
EPOCHS = float(os.environ.get("TOUR_EPOCHS", "5"))  # of training, shared by the phases; enough to see, not to conclude

# %% [markdown]
# ## The data
#
# Every data set is cut in the same way: images to *train* on, some of them held out as *validation* (for every choice), and
# *query* and *gallery* to be scored on. Protocol `loo` (leave one out): each test image asks all the others.

# %%
data = bench.load(DATASET, protocol="loo")
print(f"{len(data.train):,} train, {len(data.validation):,} validation, {len(data.query):,} queries; {data.shape}")

pixels = data.query.images.take(np.arange(20))
figure, axes = plt.subplots(2, 10, figsize=(10, 2.4))
for axis, image, label in zip(axes.flat, pixels, data.query.labels[:20], strict=True):
    axis.imshow(image.squeeze(), cmap="gray")
    axis.set_title(data.classes[label], fontsize=7)
    axis.axis("off")

# %% [markdown]
# ## Train and score
#
# `arcface` trains in three phases: an encoder with an angular margin, a decoder that turns its embeddings back into images,
# and both together. `pixels` trains nothing: it is the floor. A run is a folder; run again, it is not repeated.

# %%
settings = {"protocol": "loo", "epochs": EPOCHS, "runs": os.environ.get("TOUR_RUNS", "tour-runs")}
arcface = bench.run("arcface", DATASET, log=print, **settings)
pixels_alone = bench.run("pixels", DATASET, **settings)

# %% [markdown]
# Each score has its 95 % interval, and a rule in `docs/reference/metrics.md` that says what it divides by. `map` averages precision over
# the *whole* ranking; `hit@1` asks whether the nearest image is of the same class. The query itself is never a hit.

# %%
rows = {}
for record in (arcface, pixels_alone):
    scores, interval = record.result.scores, record.result.ci95
    rows[record.result.method] = {
        name: f"{scores[name]:.3f}  [{interval[name][0]:.3f}, {interval[name][1]:.3f}]"
        for name in ("map", "map@10", "hit@1", "mean_rank_norm")
    }
pd.DataFrame(rows).T

# %% [markdown]
# How the training went: the loss, and `map` on validation images, by which the encoder's best epoch is chosen (the decoder's by the decode
# cosine, that of the joint phase by both). Test images choose nothing.

# %%
history = pd.read_csv(arcface.folder / "history.csv")
figure, axis = plt.subplots(figsize=(7, 2.8))
for phase, part in history.groupby("phase"):
    axis.plot(part.index + 1, part["train_loss"], marker="o", label=f"phase {phase}")
axis.set(xlabel="epoch, over all phases", ylabel="training loss", yscale="log")
axis.legend()
history[["phase", "epoch", "train_loss", "val_map", "val_decode_cosine"]]

# %% [markdown]
# ## Look at the embeddings
#
# The run kept the unit vectors of all test images. Their two main directions, coloured by class:

# %%
run = bench.open_run(arcface.folder)
gallery = run.gallery()
centred = gallery.vectors - gallery.vectors.mean(axis=0)
_, _, axes_of_space = np.linalg.svd(centred[:2000], full_matrices=False)
flat = centred @ axes_of_space[:2].T

figure, axis = plt.subplots(figsize=(6, 5))
dots = axis.scatter(flat[:, 0], flat[:, 1], c=gallery.labels, s=4, cmap="tab10")
axis.legend(dots.legend_elements(num=len(gallery.classes))[0], gallery.classes, fontsize=7)
axis.set_title("all test images, two main directions")
# %% [markdown]
# ## Search
#
# Ask with any picture: a file (`by_file`), an array, an image of the gallery itself (`by_name`). Green frames are right, red ones
# wrong.

# %%
from bench.report.figures.picture_grid import Tile, draw_grid, pictures_of

searcher = bench.open_search(arcface.folder)
picture = pictures_of(data.gallery)
label_of = dict(zip(gallery.ids.tolist(), (gallery.classes[label] for label in gallery.labels), strict=True))


def row_of(name: str) -> list[Tile]:
    """Return a query and its eight nearest others as tiles."""
    tiles = [Tile(picture(name), ("query", label_of[name]), "query")]
    for hit in searcher.by_name(name, k=8).hits:
        right = hit.label == label_of[name]
        tiles.append(Tile(picture(hit.name), (f"{hit.similarity:.3f}", str(hit.label)), "right" if right else "wrong"))
    return tiles


display(Picture(draw_grid([row_of(name) for name in gallery.ids[:3].tolist()])))

# %% [markdown]
# Typical queries flatter. Those that do worst say more about when not to trust it:

# %%
with np.load(arcface.folder / "per_query.npz") as kept:
    worst = kept["ids"][np.argsort(kept["map"])[:3]]
display(Picture(draw_grid([row_of(name) for name in worst.tolist()])))

# %% [markdown]
# ## What an embedding keeps: decode it
#
# Originals above what the decoder makes of their embeddings alone. Class and outline are kept, texture and text are lost: the
# embedding was trained to tell classes apart, and to be decodable only after that.

# %%
some = np.arange(8)
decoded = run.decode(gallery.vectors[some])
display(
    Picture(
        draw_grid(
            [
                [Tile(picture(gallery.ids[row]), (str(label_of[gallery.ids[row]]),)) for row in some],
                [Tile(image, ("decoded",)) for image in decoded],
            ]
        )
    )
)

# %% [markdown]
# The mean embedding of each class, decoded, and a walk on the sphere from one image's embedding to another's:

# %%
from bench.evaluation.ranking.vectors import class_means, spherical_walk

numbers, means = class_means(gallery.vectors, gallery.labels)
display(
    Picture(
        draw_grid(
            [
                [
                    Tile(image, (gallery.classes[number],))
                    for number, image in zip(numbers, run.decode(means), strict=True)
                ]
            ]
        )
    )
)

first, last = (int(np.flatnonzero(gallery.labels == label)[0]) for label in numbers[:2])
walk = spherical_walk(gallery.vectors[first], gallery.vectors[last], 10)
display(Picture(draw_grid([[Tile(image) for image in run.decode(walk)]])))

# %% [markdown]
# ## Your own vectors
#
# `bench.evaluate` scores embeddings from anywhere by the same rules, here of half the dimensions:

# %%
half = gallery.vectors[:, : gallery.vectors.shape[1] // 2]
found = bench.evaluate(half, gallery.labels, half, gallery.labels, query_ids=gallery.ids, gallery_ids=gallery.ids)
print(f"map {found.scores['map']:.3f} with half the dimensions, {arcface.result.scores['map']:.3f} with all")

# %% [markdown]
# ## Where to go on
#
# - `simbench run -m '*' -d FOLDER` compares all methods on your own pictures (one subfolder a class).
# - `simbench report` makes one page of scores, training, neighbours and reconstructions of all runs; `simbench serve` a page to search from.
# - `docs/guides/adding-a-method.md`: a new method is one file of a dozen lines.
