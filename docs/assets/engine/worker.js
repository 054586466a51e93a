/**
 * The worker: `new Worker(".../engine/worker.js", { type: "module" })`. `service` says which messages it takes, and
 * `client` sends them.
 */

import { serve } from "./service.js";

serve(self);
