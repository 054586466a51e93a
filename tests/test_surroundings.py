"""Photos on other grounds and in other colors: by hand where a few pixels are enough, by lot where chance decides."""

import math

import pytest
import torch

from deit_ref.training import surroundings
from deit_ref.training.surroundings import (
    GROUNDS,
    RATIO,
    SIDES,
    ellipse,
    grounds,
    jitter,
    placed,
    surround,
    to_gray,
    unlike_border,
)

IMAGE = [[1.0, 1, 0, 0], [1, 1, 0, 0], [0.5, 0.5, 0, 0], [0.5, 0.5, 0, 0]]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def photos(batch=8, side=16, channels=3, seed=0):
    return torch.rand(batch, channels, side, side, generator=seeded(seed))


def assert_put(sides, centers, expected, *, mask=None):
    """`IMAGE` on a ground of 0.25."""
    image = torch.tensor(IMAGE)[None, None]
    mask = torch.ones_like(image) if mask is None else torch.tensor(mask)[None, None]
    found = placed(image, mask, torch.full_like(image, 0.25), torch.tensor([sides]), torch.tensor([centers]))
    torch.testing.assert_close(found[0, 0], torch.tensor(expected), rtol=0, atol=1e-6)


def test_half_a_side_in_the_middle_and_in_a_corner_by_hand():
    g = 0.25
    assert_put((0.5, 0.5), (0.0, 0.0), [[g, g, g, g], [g, 1.0, 0.0, g], [g, 0.5, 0.0, g], [g, g, g, g]])
    # x is to the right, y is down.
    assert_put((0.5, 0.5), (0.5, -0.5), [[g, g, 1.0, 0.0], [g, g, 0.5, 0.0], [g, g, g, g], [g, g, g, g]])


def test_points_between_pixels_are_in_proportion_by_hand():
    """Two points a pixel and direction, a quarter of it away from its middle: 3/4 of its own value, or all of it."""
    up, down = (1 + 0.75 + 0.25 * 0.5) / 2, (0.5 + 0.75 * 0.5 + 0.25) / 2
    assert_put((0.5, 1.0), (-0.5, 0.0), [[left, 0.0, 0.25, 0.25] for left in (1, up, down, 0.5)])
    # Enlarged, the middle of the photo fills the frame, and no ground shows; or its left side does.
    rows, columns = torch.tensor([1, 0.875, 0.625, 0.5]), torch.tensor([1, 0.75, 0.25, 0])
    assert_put((2.0, 2.0), (0.0, 0.0), (rows[:, None] * columns).tolist())
    assert_put((2.0, 2.0), (1.0, 0.0), (rows[:, None] * torch.tensor([1, 1, 1, 0.75])).tolist())


def test_a_mask_lets_the_ground_through():
    mask = [[1.0, 1, 1, 1], [1, 1, 1, 1], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert_put((0.5, 0.5), (0.0, 0.0), [[0.25] * 4, [0.25, 1, 0, 0.25], [0.25] * 4, [0.25] * 4], mask=mask)
    half = [[0.25] * 4, [0.25, 0.625, 0.125, 0.25], [0.25, 0.375, 0.125, 0.25], [0.25] * 4]
    assert_put((0.5, 0.5), (0.0, 0.0), half, mask=[[0.5] * 4] * 4)


def test_an_ellipse_touches_the_border():
    mask = ellipse(torch.zeros(2, 3, 20, 40))
    assert mask.shape == (2, 1, 20, 40)
    assert float(mask[0, 0, 10, 20]) == 1
    # In the row at the middle, 0.05 above it: at x of 0.975 the distance is 0.97628, and (1 - 0.97628) / 0.2 is left.
    assert float(mask[0, 0, 10, 39]) == pytest.approx((1 - math.hypot(0.975, 0.05)) / 0.2, rel=1e-4)
    assert float(mask[0, 0, 0, 0]) == 0
    torch.testing.assert_close(mask, mask.flip(2, 3))
    assert float(mask.mean()) == pytest.approx(math.pi / 4 * (1 + 0.8 + 0.64) / 3, rel=0.02)  # a cone's frustum
    assert float(ellipse(torch.zeros(1, 1, 20, 20), radius=0.5)[0, 0, 10, 16]) == 0


def test_what_is_unlike_the_border_is_kept():
    """Also away from the middle, and though the ground is not quite of one color."""
    image = torch.full((1, 3, 16, 16), 0.5) + 0.02 * torch.randn(1, 3, 16, 16, generator=seeded())
    image[:, 1, 2:5, 2:5] = 0.9
    mask = unlike_border(image)[0, 0]
    assert float(mask[3, 3]) == 1
    assert float(mask[8, 8]) == 1
    outside = torch.ones(16, 16, dtype=torch.bool)
    outside[1:6, 1:6], outside[3:13, 3:13] = False, False
    assert float(mask[outside].max()) < 0.05
    assert 0 < float(mask[1, 3]) < 1
    corner = torch.zeros(1, 1, 32, 32)
    corner[:, :, :3, :3] = 1.0
    assert float(unlike_border(corner)[0, 0, 0, 0]) == 1  # what lies beyond the border is not averaged
    # By hand: 0.14 from the border is half way from 0.08 to 0.2.
    plain = torch.zeros(1, 1, 32, 32)
    plain[:, :, 2:5, 2:5] = 0.14
    at_border = plain.clone()
    at_border[:, :, 0] = 1.0  # a quarter of the border, nearly: its mean is 32 / 124
    assert float(unlike_border(plain)[0, 0, 3, 3]) == pytest.approx(0.5, abs=1e-3)
    assert float(unlike_border(at_border)[0, 0, 3, 3]) == pytest.approx((32 / 124 - 0.14 - 0.08) / 0.12, abs=1e-3)


def test_grounds():
    images = photos(batch=200, side=8)
    found = grounds(images, generator=seeded())
    assert found.shape == (len(GROUNDS), 200, 3, 8, 8)
    white, black, color, gray, noise, another = found
    assert (white == 1).all()
    assert not black.any()
    assert torch.equal(color, color[:, :, :1, :1].expand_as(color))
    assert not torch.equal(color[:, 0], color[:, 1])
    assert torch.equal(gray, gray[:, :1, :1, :1].expand_as(gray))
    assert ((noise >= 0) & (noise <= 1)).all()
    assert noise.std(dim=(1, 2, 3)).min() < 0.1 < 0.3 < noise.std(dim=(1, 2, 3)).max()
    blurred = torch.nn.functional.adaptive_avg_pool2d(another, 1)[:, :, 0, 0]
    torch.testing.assert_close(blurred, images.flip(0).mean(dim=(2, 3)), rtol=0, atol=0.15)
    assert another.std(dim=(2, 3)).mean() < images.std(dim=(2, 3)).mean()
    for level in (color[:, 0, 0, 0], gray[:, 0, 0, 0]):
        assert 0.4 < float(level.mean()) < 0.6


def test_a_share_is_chosen_and_the_others_stay(monkeypatch):
    images = photos(batch=400, side=8)
    for channels in (1, 3):
        found = surround(images[:, :channels], probability=0.3, generator=seeded())
        same = (found == images[:, :channels]).flatten(1).all(dim=1)
        assert 0.6 < float(same.float().mean()) < 0.8
        assert found.shape == images[:, :channels].shape
    assert ((found >= 0) & (found <= 1 + 1e-6)).all()
    assert torch.equal(found, surround(images, probability=0.3, generator=seeded()))
    assert not torch.equal(found, surround(images, probability=0.3, generator=seeded(1)))
    assert torch.equal(surround(images, probability=0.0, generator=seeded()), images)
    with pytest.raises(ValueError, match="probability must lie in"):
        surround(images, probability=1.5, generator=seeded())


def test_sizes_shapes_and_places_are_drawn_within_their_limits(monkeypatch):
    seen = {}

    def keep(images, masks, ground, sides, centers):
        seen.update(images=images, masks=masks, ground=ground, sides=sides, centers=centers)
        return images

    monkeypatch.setattr(surroundings, "placed", keep)
    images = torch.full((4000, 3, 8, 8), 0.3)
    assert torch.equal(surround(images, probability=1.0, generator=seeded()), images)
    sides, centers = seen["sides"].log(), seen["centers"]
    mean, shape = sides.mean(dim=1), sides[:, 0] - sides[:, 1]
    assert float(mean.min()) == pytest.approx(math.log(SIDES[0]), abs=0.01)
    assert float(mean.max()) == pytest.approx(math.log(SIDES[1]), abs=0.01)
    assert float(mean.mean()) == pytest.approx(math.log(SIDES[0] * SIDES[1]) / 2, abs=0.02)
    assert float(shape.max()) == pytest.approx(math.log(RATIO), abs=0.01)
    assert float(shape.min()) == pytest.approx(-math.log(RATIO), abs=0.01)
    room = (1 - seen["sides"]).abs()
    assert (centers.abs() <= room).all()  # inside the frame, or all over it
    assert 0.45 < float((centers.abs() / room).mean()) < 0.55
    assert 0.45 < float((centers[:, 0] > 0).float().mean()) < 0.55
    ways = [torch.ones_like(seen["masks"]), ellipse(images), unlike_border(images)]
    shares = [float((seen["masks"] == way).flatten(1).all(dim=1).float().mean()) for way in ways]
    assert shares == pytest.approx([1 / 3] * 3, abs=0.03)
    for value, kind in ((1.0, "white"), (0.0, "black"), (0.3, "another photo")):
        of_this = (seen["ground"] - value).abs().flatten(1).amax(dim=1) < 1e-6
        assert float(of_this.float().mean()) == pytest.approx(GROUNDS[kind], abs=0.03), kind


def test_colors_by_hand(monkeypatch):
    """Two pixels of three channels: their means are 0.4 and 0.2, that of the image is 0.3."""
    image = torch.tensor([[0.2, 0.2], [0.4, 0.2], [0.6, 0.2]]).reshape(1, 3, 1, 2)
    draws = iter([torch.tensor([0.0, 1.0, 0.5]).reshape(3, 1, 1, 1, 1), torch.zeros(1, 1, 1, 1)])
    monkeypatch.setattr(torch, "rand", lambda *shape, generator: next(draws))
    found = jitter(image, probability=0.5, generator=seeded())
    # Saturation 0.6: 0.28, 0.4, 0.52 and 0.2; contrast 1.4 about 0.3; brightness 1.
    torch.testing.assert_close(found[0, :, 0, 0], torch.tensor([0.272, 0.44, 0.608]))
    torch.testing.assert_close(found[0, :, 0, 1], torch.tensor([0.16, 0.16, 0.16]))
    draws = iter([torch.tensor([0.5, 0.5, 1.0]).reshape(3, 1, 1, 1, 1), torch.zeros(1, 1, 1, 1)])
    bright = jitter(2 * image.clamp(0, 0.5), probability=0.5, generator=seeded())
    torch.testing.assert_close(bright[0, :, 0, 0], torch.tensor([0.56, 1.0, 1.0]))


def test_colors_change_and_go_with_their_probability():
    images = photos(batch=1000, side=4)
    for change in (jitter, to_gray):
        found = change(images, probability=0.25, generator=seeded())
        same = ((found - images).abs() < 1e-6).flatten(1).all(dim=1)
        assert 0.7 < float(same.float().mean()) < 0.8
        assert ((found >= 0) & (found <= 1)).all()
        torch.testing.assert_close(change(images, probability=0.0, generator=seeded()), images)
        assert torch.equal(found, change(images, probability=0.25, generator=seeded()))
    gray = to_gray(images, probability=1.0, generator=seeded())
    torch.testing.assert_close(gray, images.mean(dim=1, keepdim=True).expand_as(images))
    one = images[:, :1]
    torch.testing.assert_close(to_gray(one, probability=1.0, generator=seeded()), one)
    assert jitter(one, probability=1.0, generator=seeded()).shape == one.shape
