// Parsers of WebP and AVIF, fetched with the first such file.

import { parseAvif } from "./avif.js";
import { parseWebp } from "./webp.js";

export { parseAvif, parseWebp };
