import { createHash, randomBytes } from "node:crypto";
import type { Entropy } from "./ports/entropy.ts";

/** Chance from the operating system. Ids have nearly 128 bits of it, so that none comes twice; secrets 256. */
export const systemEntropy: Entropy = {
  newId() {
    for (;;) {
      const id = randomBytes(16).toString("base64url");
      // People give it to commands, which would take it for an option.
      if (!id.startsWith("-")) return id;
    }
  },
  newSecret: () => randomBytes(32).toString("base64url"),
  hash: (text) => createHash("sha256").update(text).digest("hex"),
};
