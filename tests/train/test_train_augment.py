"""Moves of images: the identity, whole pixels, quarter turns, and the same move for the same sample."""

import numpy as np
from dataset_files import cifar_folder

from bitspike.train.augment import moved, moved_images, random_moves, shifted
from bitspike.train.data import load_samples
from bitspike.train.data_recipe import DataRecipe
from bitspike.train.encoders import Encoding

IMAGE = np.arange(1, 10, dtype=np.float64).reshape(1, 3, 3) / 9


def move(moves, *, shift=0.0, turn=0.0, zoom=0.0):
    return moved(IMAGE, np.array([moves], dtype=np.float64), shift=shift, turn=turn, zoom=zoom)[0] * 9


def test_no_move_changes_nothing():
    np.testing.assert_array_equal(move([0, 0, 0, 0], shift=3, turn=9, zoom=0.5), IMAGE[0] * 9)
    np.testing.assert_array_equal(move([1, -1, 1, 1]), IMAGE[0] * 9)


def test_whole_pixels_shift_and_zeros_follow():
    np.testing.assert_allclose(move([1, 0, 0, 0], shift=1), [[4, 5, 6], [7, 8, 9], [0, 0, 0]])
    np.testing.assert_allclose(move([0, -1, 0, 0], shift=1), [[0, 1, 2], [0, 4, 5], [0, 7, 8]])
    np.testing.assert_allclose(move([1, 0, 0, 0], shift=9), np.zeros((3, 3)))


def test_half_a_pixel_is_the_mean_of_two():
    np.testing.assert_allclose(move([0, 1, 0, 0], shift=0.5), [[1.5, 2.5, 1.5], [4.5, 5.5, 3], [7.5, 8.5, 4.5]])


def test_what_is_only_shifted_is_the_same_bit_for_bit():
    images = np.random.default_rng(0).integers(0, 256, (40, 7, 12)) / 255
    moves = random_moves(np.arange(40), seed=4, epoch=1)
    for shift in (0.5, 3.0, 20.0):
        np.testing.assert_array_equal(
            shifted(images, moves, shift=shift), moved(images, moves, shift=shift, turn=0.0, zoom=0.0)
        )


def test_a_quarter_turn_is_exact():
    np.testing.assert_allclose(move([0, 0, 1, 0], turn=90), np.rot90(IMAGE[0] * 9, k=-1), atol=1e-12)


def test_zoom_keeps_the_centre():
    found = move([0, 0, 0, -1], zoom=0.5)
    np.testing.assert_allclose(found, [[3, 3.5, 4], [4.5, 5, 5.5], [6, 6.5, 7]])


def test_moves_belong_to_sample_epoch_and_seed():
    first = random_moves(np.array([3, 1]), seed=0, epoch=1)
    assert first.shape == (2, 4)
    assert np.abs(first).max() <= 1
    np.testing.assert_array_equal(random_moves(np.array([1]), seed=0, epoch=1)[0], first[1])
    assert not np.array_equal(random_moves(np.array([1]), seed=0, epoch=2)[0], first[1])
    assert not np.array_equal(random_moves(np.array([1]), seed=1, epoch=1)[0], first[1])


def test_the_parts_of_an_image_move_together(tmp_path):
    """An image is moved before it is cut into parts; its colours move alike."""
    name = f"cifar10:{cifar_folder(tmp_path)}"
    data = DataRecipe(name=name, steps=1, fold=4, encoder="burst", shift=3.0)
    folded = moved_images(load_samples(name, "train", data.encoding), data, seed=1, epoch=2)
    plain = load_samples(name, "train", Encoding(steps=4, encoder="burst"))
    images = (plain.levels / 255).reshape(-1, 32, 32)
    moves = random_moves(plain.indices, seed=1, epoch=2).repeat(3, axis=0)
    levels = moved(images, moves, shift=3.0, turn=0.0, zoom=0.0).reshape(len(plain), -1) * 255
    lengths = folded.encode(steps=1, seed=0).reshape(len(plain), 4, -1).sum(axis=1)
    np.testing.assert_array_equal(lengths, levels * 5 // 256)
    still = DataRecipe(name=name, steps=4, encoder="burst")
    assert moved_images(plain, still, seed=1, epoch=2) is plain
