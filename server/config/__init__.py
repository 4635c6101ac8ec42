"""The site file: its model, its loading, and the site that follows from it."""
