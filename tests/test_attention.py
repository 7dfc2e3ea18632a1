"""The mask is exact: masking is removing, and what stands in hidden patches does not matter."""

import numpy as np
import pytest
import timm
import torch

from helpers.attention import (
    REGIONS,
    attention_mask,
    class_token_attention,
    hidden_removed,
    patches_to_pixels,
    region,
    visible_patches,
)
from helpers.encoders import Encoder, embed, unfreeze_last
from helpers.recognition import raw_pixels

GRID = 14


@pytest.fixture(scope="module", params=[112, 224])
def vit(request):
    """Of the side that faces have, and of 224, for which they are enlarged first."""
    torch.manual_seed(0)
    options = {"patch_size": request.param // GRID, "depth": 3, "embed_dim": 64, "num_heads": 4}
    return Encoder(
        "vit_tiny_patch16_224", None, request.param, img_size=request.param, **options
    ).eval()


@pytest.fixture(scope="module")
def faces():
    return torch.randint(
        0, 256, (3, 3, 112, 112), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
    )


def test_regions_shrink_from_everything_to_one_patch():
    visible = [visible_patches(region(name), GRID) for name in REGIONS]
    counts = [int(v.sum()) for v in visible]
    assert counts[0] == GRID * GRID and counts[3] == 1 and counts == sorted(counts, reverse=True)
    assert not (visible[2] & ~visible[1]).any(), "the face is part of the head"
    assert visible[3][0]


def test_the_same_region_fits_any_grid():
    for grid in (7, 14, 16):
        assert patches_to_pixels(visible_patches(region("all"), grid)).all()
        assert visible_patches(region("corner"), grid).sum() == 1


def test_a_mask_that_shows_everything_changes_nothing(vit, faces):
    mask = attention_mask(visible_patches(region("all"), GRID))
    assert (
        np.abs(
            embed(vit, faces, mirror=False) - embed(vit, faces, mirror=False, attn_mask=mask)
        ).max()
        < 1e-5
    )


@pytest.mark.parametrize("name", ["head", "face", "corner"])
def test_masking_is_removing(vit, faces, name):
    """The same blocks, run on the visible tokens only, with their position embeddings kept."""
    visible = visible_patches(region(name), GRID)
    masked = embed(vit, faces, mirror=False, attn_mask=attention_mask(visible))
    with torch.inference_mode():
        net = vit.net
        tokens = net.norm_pre(net._pos_embed(net.patch_embed(vit.prepare(faces))))
        tokens = net.norm(net.blocks(tokens[:, torch.cat([torch.tensor([True]), visible])]))
        removed = torch.nn.functional.normalize(net.forward_head(tokens))
    assert np.abs(masked - removed.numpy()).max() < 1e-5
    with hidden_removed(net, visible):
        assert np.abs(masked - embed(vit, faces, mirror=False)).max() < 1e-5
    assert np.abs(masked - embed(vit, faces, mirror=False)).max() > 1e-3, (
        "afterwards everything is seen again"
    )


@pytest.mark.parametrize("name", ["head", "face", "corner"])
def test_hidden_patches_may_hold_anything(vit, faces, name):
    """Hidden in the network's own pixels: enlarging mixes pixels across the borders of patches."""
    visible = visible_patches(region(name), GRID)
    own = torch.nn.functional.interpolate(
        faces.float(), (vit.size, vit.size), mode="bilinear", antialias=True
    )
    noise = torch.where(patches_to_pixels(visible, vit.size), own, 255 - own)
    mask = attention_mask(visible)
    assert not torch.equal(noise, own)
    plain, clean, noisy = (
        embed(vit, photos, mirror=False, attn_mask=mask) for photos in (faces, own, noise)
    )
    assert np.abs(plain - clean).max() < 1e-5, "enlarged here or inside the encoder is the same"
    assert np.abs(clean - noisy).max() < 1e-6


def test_raw_pixels_of_a_region_are_those_of_the_region(faces):
    visible = patches_to_pixels(visible_patches(region("face"), 8), 32)
    masked = raw_pixels(faces, visible).reshape(-1, 32, 32)
    assert not masked[:, ~visible].any() and np.allclose(masked.sum((1, 2)), 0, atol=1e-3)
    assert np.allclose(np.linalg.norm(masked, axis=(1, 2)), 1, atol=1e-5)
    relit = raw_pixels(0.5 * faces + 60, visible)
    assert np.allclose(relit, masked.reshape(3, -1), atol=1e-4), (
        "the pattern inside counts, not its light"
    )
    assert np.array_equal(
        raw_pixels(faces, torch.ones(32, 32, dtype=torch.bool)), raw_pixels(faces)
    )


def test_fused_and_unfused_attention_agree(vit, faces):
    mask = attention_mask(visible_patches(region("face"), GRID))
    results = []
    for fused in (True, False):
        for block in vit.net.blocks:
            block.attn.fused_attn = fused
        results.append(embed(vit, faces, mirror=False, attn_mask=mask))
    assert np.isfinite(results[1]).all() and np.abs(results[0] - results[1]).max() < 1e-5


def test_each_photo_may_have_its_own_mask(vit, faces):
    visible = torch.stack([visible_patches(region(name), GRID) for name in ("all", "head", "face")])
    assert attention_mask(visible).shape == (3, 1, 197, 197)
    with torch.inference_mode():
        together = vit(faces, attention_mask(visible))
        alone = torch.cat([vit(face[None], attention_mask(v)) for face, v in zip(faces, visible)])
    assert torch.allclose(together, alone, atol=1e-5)
    in_batches = embed(vit, faces, mirror=False, attn_mask=attention_mask(visible), batch_size=2)
    assert np.abs(in_batches - torch.nn.functional.normalize(together).numpy()).max() < 1e-5


def test_the_class_token_looks_only_where_it_may(vit, faces):
    visible = visible_patches(region("face"), GRID)
    looks = class_token_attention(vit.net, vit.prepare(faces), attention_mask(visible))
    assert (
        looks.shape == (3, 196)
        and (looks[:, ~visible] == 0).all()
        and (looks[:, visible] > 0).all()
    )


@pytest.mark.parametrize(
    "picture,words",
    [
        (np.zeros((112, 112), bool), "hides everything"),
        (np.ones((112, 112)), "boolean picture"),
        (np.ones((3, 112, 112), bool), "boolean picture"),
    ],
)
def test_wrong_regions_are_refused(picture, words):
    with pytest.raises(ValueError, match=words):
        visible_patches(picture, GRID)
    with pytest.raises(ValueError, match="head"):
        region("nose")


def test_a_segmentation_says_where_head_and_face_are():
    segmentation = np.zeros((8, 8), int)
    segmentation[1:7, 1:7], segmentation[3:7, 2:6] = 1, 2
    assert (region("head", segmentation) == (segmentation > 0)).all() and region(
        "all", segmentation
    ).all()
    assert (region("face", segmentation) == (segmentation == 2)).all() and region(
        "corner", segmentation
    ).sum() == 1
    with pytest.raises(ValueError, match="0 .background."):
        region("face", segmentation + 1)


def test_masks_that_do_not_fit_are_refused(vit, faces):
    mask = attention_mask(visible_patches(region("face"), 7))
    for wrong in (mask, torch.ones(1, 1, 197, 197), torch.ones(2, 1, 197, 197, dtype=torch.bool)):
        with pytest.raises(ValueError, match="197, 197"):
            embed(vit, faces, mirror=False, attn_mask=wrong)
    with pytest.raises(ValueError, match="vision transformers"):
        embed(Encoder("resnet10_small", 8, 32), faces, mirror=False, attn_mask=mask)
    with (
        pytest.raises(ValueError, match="196 patches"),
        hidden_removed(vit.net, torch.ones(49, dtype=torch.bool)),
    ):
        pass
    for nothing in (torch.zeros(196, dtype=torch.bool), torch.ones(196)):
        with pytest.raises(ValueError, match="at least one"):
            attention_mask(nothing)


def test_only_the_last_blocks_are_trained_and_nothing_before_them_is_kept(vit, faces):
    encoder = Encoder(
        "vit_tiny_patch16_224",
        None,
        112,
        img_size=112,
        patch_size=8,
        depth=3,
        embed_dim=64,
        num_heads=4,
    )
    unfreeze_last(encoder, 1)
    seen = {}
    encoder.net.blocks[1].register_forward_hook(
        lambda module, inputs, output: seen.update(before=output)
    )
    encoder(faces).sum().backward()
    assert not seen["before"].requires_grad
    trained = {
        name.split(".")[1] + "." + name.split(".")[2]
        for name, p in encoder.named_parameters()
        if p.grad is not None
    }
    assert all(name.startswith(("blocks.2", "norm")) for name in trained) and trained


def test_the_full_size_of_the_student_project_works(faces):
    """timm's ViT-B/16 of 224 pixels, three last blocks free, with random weights."""
    encoder = Encoder("vit_base_patch16_224.augreg_in21k_ft_in1k", None, 224).eval()
    assert (
        unfreeze_last(encoder, 3) == pytest.approx(21.27e6, rel=1e-3)
        and len(encoder.net.blocks) == 12
    )
    visible = visible_patches(region("face"), 14)
    masked = embed(encoder, faces[:1], mirror=False, attn_mask=attention_mask(visible))
    with hidden_removed(encoder.net, visible):
        assert (
            masked.shape == (1, 768)
            and np.abs(masked - embed(encoder, faces[:1], mirror=False)).max() < 1e-5
        )


def test_in_training_each_batch_sees_one_region_and_afterwards_everything(vit, faces):
    small = {"img_size": 112, "patch_size": 8, "depth": 2, "embed_dim": 32, "num_heads": 4}
    torch.manual_seed(0)
    encoder = Encoder("vit_tiny_patch16_224", 16, 112, hide=("all", "head", "face"), **small)
    counts = set()
    encoder.net.blocks[0].register_forward_hook(
        lambda module, inputs, output: counts.add(output.shape[1])
    )
    for _ in range(20):
        encoder(faces)
    assert counts == {
        1 + int(visible_patches(region(name), GRID).sum()) for name in ("all", "head", "face")
    }
    visible = visible_patches(region("face"), GRID)
    mask = attention_mask(visible)
    hidden = torch.where(patches_to_pixels(visible), faces, 255 - faces)
    one, other = (
        embed(encoder, photos, mirror=False, attn_mask=mask) for photos in (faces, hidden)
    )
    assert (
        np.abs(one - other).max() < 1e-6
        and np.abs(one - embed(encoder, faces, mirror=False)).max() > 1e-3
    )
    with pytest.raises(ValueError, match="hide is for vision transformers"):
        Encoder("resnet10_small", 8, 32, hide=("face",))


def test_timm_is_new_enough_for_boolean_masks():
    assert tuple(map(int, timm.__version__.split(".")[:3])) >= (1, 0, 26)


def test_a_patch_of_which_just_half_is_inside_is_visible():
    picture = np.zeros((8, 8), bool)
    picture[:, 2:7] = (
        True  # of patches 4 wide: half of the left ones, three quarters of the right ones
    )
    assert visible_patches(picture, 2).all()
    picture[:, 2] = False
    assert visible_patches(picture, 2).tolist() == [False, True, False, True]


@pytest.mark.parametrize("name", ["all", "face"])
def test_the_attention_is_timms_own(vit, faces, name):
    """What the last block hands to its dropout, where it computes the weights itself."""
    block, seen = vit.net.blocks[-1].attn, {}
    block.fused_attn = False
    handle = block.attn_drop.register_forward_hook(
        lambda module, inputs, output: seen.update(weights=inputs[0])
    )
    x, mask = vit.prepare(faces) * 5, attention_mask(visible_patches(region(name), GRID))
    with torch.inference_mode():
        vit.net.forward_features(x, attn_mask=mask)
    handle.remove()
    theirs = seen["weights"].mean(1)[:, 0, 1:]
    assert (
        torch.allclose(class_token_attention(vit.net, x, mask), theirs, atol=1e-6)
        and theirs.std() > 1e-5
    )


def test_raw_pixels_of_a_flat_region_still_have_a_direction():
    flat = torch.full((2, 3, 112, 112), 90, dtype=torch.uint8)
    assert np.allclose(np.linalg.norm(raw_pixels(flat), axis=1), 1)
