"""Stand-ins for Pulumi plugins, for machines that can't reach the vendor's plugin store."""
