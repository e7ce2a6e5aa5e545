"""The pages: of one experiment and of all, with their charts, styles and script."""
