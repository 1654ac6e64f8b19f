import { createHash, randomBytes } from "node:crypto";
import type { Entropy } from "./ports/entropy.ts";

/** Chance from the operating system. Ids have 128 bits of it, so that none comes twice; secrets 256. */
export const systemEntropy: Entropy = {
  newId: () => randomBytes(16).toString("base64url"),
  newSecret: () => randomBytes(32).toString("base64url"),
  hash: (text) => createHash("sha256").update(text).digest("hex"),
};
