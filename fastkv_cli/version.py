"""The version of fastkv and of the libraries it stands on; imports nothing when imported."""

__version__ = "0.1.0"


def library_versions() -> dict[str, str]:
    """Versions by name: fastkv, Python, torch and transformers."""
    import platform
    from importlib.metadata import version

    return {
        "fastkv": __version__,
        "Python": platform.python_version(),
        "torch": version("torch"),
        "transformers": version("transformers"),
    }
