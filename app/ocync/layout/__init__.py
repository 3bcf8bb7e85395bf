"""OCI image layouts on disk (image-spec image-layout.md) as places to read images from and write them to."""
