"""What differs from the defaults of the settings: on larger datasets, and in some commands."""

# what differs from the defaults on the larger datasets, which are meant for a GPU
GPU_DEFAULTS = dict(
    people=500,
    probe_people=200,
    distractor_people=1000,
    epochs=40,
    channels=64,
    encoder="resnet34",
    encoder_size=112,
    embedding=512,
    batch_size=128,
    weights="imagenet",
    study_encoders=(
        "resnet34 resnet50 resnext50_32x4d efficientnet_b0 efficientnet_v2_m mobilenet_v2"
    ),
    vit="vit_base_patch16_224.augreg_in21k_ft_in1k",
    vit_weights="imagenet",
    vit_epochs=3,
    vit_blocks=3,
)
PRESETS = {
    "lfw": GPU_DEFAULTS | {"landmark_epochs": 10},
    # what ships has seen CelebA's people, who are then no unseen identities
    "celeba": GPU_DEFAULTS | {"landmark_epochs": 5, "recogniser": "trained"},
}
# what differs from the defaults in commands and benchmarks that have a recipe of their own
COMMAND_DEFAULTS = {
    "train_hourglass": dict(grow=32, sigma=1.5, landmark_epochs=26, lr=8e-3),
    "losses": dict(epochs=20, batch_size=64, lr=2e-3),
    "studies": dict(study_epochs=60),
    "mamba_lfw": dict(dataset="lfw", epochs=24, batch_size=128, encoder_size=48, lr=3e-3),
    "training_speed": dict(batch_size=64),
}
