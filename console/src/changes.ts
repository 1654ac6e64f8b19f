/** What came of a change: done, or why not, in words. */
export type Outcome = { readonly kind: "done" } | { readonly kind: "refused"; readonly message: string };

/** The token that lets changes be made from another machine: typed in, and forgotten with the page. */
let adminToken = "";

/** Takes the token for the changes to come. */
export function takeAdminToken(token: string): void {
  adminToken = token;
}

/** Ends the claim that holds a lock with this token, on all of its locks. */
export const releaseLock = (name: string, fencingToken: string, justification: string): Promise<Outcome> =>
  change("/api/release-lock", { name, fencingToken, justification });

/** Ends a session and all its claims. */
export const closeSession = (sessionId: string, justification: string): Promise<Outcome> =>
  change("/api/close-session", { sessionId, justification });

/** Never rejects. After a broken connection it is not known whether the change was made, and it says so. */
async function change(path: string, body: object): Promise<Outcome> {
  try {
    const response = await fetch(path, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        "x-holdfast-console": "1",
        ...(adminToken === "" ? {} : { authorization: `Bearer ${adminToken}` }),
      },
      body: JSON.stringify(body),
    });
    if (response.ok) return { kind: "done" };
    return { kind: "refused", message: messageIn(await response.text()) };
  } catch {
    return { kind: "refused", message: "The connection broke: look whether it was done before you try again." };
  }
}

function messageIn(text: string): string {
  try {
    return String(JSON.parse(text).message);
  } catch {
    return text.trim();
  }
}
