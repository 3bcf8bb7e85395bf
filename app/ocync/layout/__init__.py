"""OCI image layouts on disk (image-spec image-layout.md) as repositories to read and write."""
