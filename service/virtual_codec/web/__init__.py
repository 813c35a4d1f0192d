"""Restoring in the visitor's browser: script, WebAssembly kernels, and weights of a store's models.

`WebSite` makes the files for a web server. `vcodec export --web` writes them to a folder for a static host:

    restore.js                          ES module that pages import; revalidated by browsers
    <version>/worker.js, kernels.wasm   worker and kernels; these and the weights never change
    <version>/codecs.js                 parsers of WebP and AVIF, fetched with the first such file
    <version>/<model id>-<scale>.bin    post-processing networks, in half precision or 8 bits
    manifest.json                       all of them, with sizes and hashes

`restore.js` and `codecs.js` are joined of the modules beside them. The version is a hash of the scripts, the kernels
and the format of the weights.
"""

from virtual_codec.web._scripts import SCRIPT
from virtual_codec.web._site import WebFile, WebSite, describe

__all__ = ["SCRIPT", "WebFile", "WebSite", "describe"]
