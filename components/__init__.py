"""The Pulumi program's parts: resources only, pure plans beside them."""
