"""Where staff work, with a browser: pages, forms, sessions. The acts themselves are below, in authority/."""
