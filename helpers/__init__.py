"""A photo's way: faces -> detection -> landmarks -> alignment -> encoders -> who is who."""
