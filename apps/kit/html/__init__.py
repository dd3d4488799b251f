"""What server-rendered pages share: tags, schema forms, pagers, one way to show a refusal."""
