"""Settings: `base` composes, `development`, `production` and `test` say how they differ."""
