"""Restoring in the visitor's browser: the script, its kernels, and the weights of a store's models.

`WebSite` makes the files that a web server hands out, and `vcodec export --web` a folder of them for any static host:

    restore.js                          the ES module that pages import; fetched anew when it changes
    <version>/worker.js, kernels.wasm   what it runs; these never change, nor do the weights
    <version>/codecs.js                 what WebPs and AVIFs need besides
    <version>/<model id>-<scale>.bin    post-processing networks, in half precision or 8 bits
    manifest.json                       all of them, with sizes and hashes

`restore.js` and `codecs.js` are joined of the modules beside them. The version is a hash of the scripts, the kernels
and the format of the weights.
"""

from virtual_codec.web._scripts import SCRIPT
from virtual_codec.web._site import WebFile, WebSite, describe

__all__ = ["SCRIPT", "WebFile", "WebSite", "describe"]
