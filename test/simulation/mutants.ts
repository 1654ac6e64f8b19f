/** One deliberate breakage of the service: the text of one file, once replaced. */
export interface Mutant {
  readonly name: string;
  /** From the top of the project. */
  readonly file: string;
  /** Occurs exactly once. */
  readonly find: string;
  readonly replace: string;
}

/** What must never go unnoticed: each breaks a guard or a rule that DESIGN.md has a reason for. */
export const MUTANTS: readonly Mutant[] = [
  {
    name: "entitled by the first lock only",
    file: "server/core/queue.ts",
    find: "for (const seat of this.seats) if (seat.queue.firstWaiting",
    replace: "for (const seat of this.seats.slice(0, 1)) if (seat.queue.firstWaiting",
  },
  {
    name: "claims not tied to their session's key",
    file: "server/core/lock-table.ts",
    find: "      for (const claim of owner.claims.values()) this.end(claim, delta);\n",
    replace: "",
  },
  {
    name: "no epoch guard on an acquire",
    file: "server/core/claim-operations.ts",
    find: "const guards: Guard[] = [session.epochGuard()];\n    for (const key of this.keys)",
    replace: "const guards: Guard[] = [];\n    for (const key of this.keys)",
  },
  {
    name: "release that deletes a later claim",
    file: "server/core/claim-operations.ts",
    find: "guards: [first, ...guards]",
    replace: "guards: [...guards, ...(first === undefined ? [first] : [])]",
  },
  {
    name: "two tries in one transaction",
    file: "server/core/group-commit.ts",
    find: '      if (this.triedLocks.has(lock)) return false;\n      if (kind === "try" && this.locks.has(lock)) return false;\n',
    replace: "",
  },
  {
    name: "early hand-off at the end of a session",
    file: "server/core/session.ts",
    find: "    this.host.submit(new EndSession(this));\n",
    replace:
      "    this.host.submit(new EndSession(this));\n" +
      "    for (const { seen } of this.claims.values())\n" +
      "      if (seen !== undefined) this.host.letIn(this.host.table.giveUp(seen));\n",
  },
  {
    name: "renewal without a heartbeat",
    file: "server/engine/renewals.ts",
    find: 'if (outcome.kind === "renewed") this.confirm(session, proof);',
    replace:
      'if (outcome.kind === "renewed") this.confirm(session, proof);\n' +
      "      this.host.after(700, () => this.proven(session));",
  },
  {
    name: "ack although the watch is not current",
    file: "server/engine/renewals.ts",
    find: "    if (this.host.nowMs() - this.provenAtMs() > CURRENT_WITHIN_MS) return;\n",
    replace: "",
  },
  {
    name: "ack from a renewal sent too early",
    file: "server/engine/renewals.ts",
    find: "this.confirm(session, proof);",
    replace: "this.confirm(session, renewal.next ?? proof);",
  },
  {
    name: "deadline counted from the reply",
    file: "server/engine/renewals.ts",
    find: "deadlineOf(proof.atMs, ttlMs)",
    replace: "deadlineOf(this.host.nowMs(), ttlMs)",
  },
  {
    name: "token from the modification",
    file: "server/core/queue.ts",
    find: "return BigInt(this.createRevision) * 128n",
    replace: "return BigInt(this.seats[0]?.modRevision ?? 0) * 128n",
  },
  {
    name: "resume without attempt number",
    file: "server/engine/session-openings.ts",
    find: "if (attempt <= session.record.attempt)",
    replace: "if (attempt <= -1n)",
  },
  {
    name: "resume without compare-and-swap",
    file: "server/engine/session-openings.ts",
    find: 'guards: [{ kind: "modified", key, revision: session.modRevision }],',
    replace: "guards: [],",
  },
  {
    name: "resume answered before the lease is renewed",
    file: "server/engine/session-opener.ts",
    find: "if (entry.record.attempt > 0n) this.renewBeforeAnswering(session, link, opening.secret);\n    else if",
    replace: "if",
  },
  {
    name: "busy without a barrier",
    file: "server/core/session.ts",
    find: "this.host.barrier((current) => this.afterBarrier(own, current));",
    replace: "this.afterBarrier(own, true);",
  },
  {
    name: "lost wake-up after an early hand-off",
    file: "server/core/session.ts",
    find: "this.host.letIn(this.host.table.giveUp(claim));",
    replace: "this.host.table.giveUp(claim);",
  },
  {
    name: "lost wake-up in the other queues of a claim",
    file: "server/core/lock-table.ts",
    find: "          if (each.queue !== queue) work.push(each.queue);\n",
    replace: "",
  },
  {
    name: "deadlines judged before the sockets are read",
    file: "server/engine/deadlines.ts",
    find: "this.clock.endOfTurn(() => this.wake(session, this.clock.nowMs() + READ_FIRST_MS, () => this.judge(session)));",
    replace: "this.judge(session);",
  },
  {
    name: "unknown outcome repeated without a bump",
    file: "server/core/session.ts",
    find: 'case "unknown":\n        return this.whenDead(epoch, () => this.lookFor(own, false));',
    replace: 'case "unknown":\n        return this.lookFor(own, false);',
  },
  {
    name: "update that loses the ordinal",
    file: "server/core/claim-operations.ts",
    find: "record: { ...record, value: this.value }",
    replace: "record: { ...record, ordinal: 0, value: this.value }",
  },
  {
    name: "update that detaches the lease",
    file: "server/core/claim-operations.ts",
    find: 'writes.push({ kind: "put", key, lease: session.lease, value });',
    replace: 'writes.push({ kind: "put", key, lease: 0n, value });',
  },
  {
    name: "update without the claim's modification",
    file: "server/core/claim-operations.ts",
    find: '      guards.push({ kind: "modified", key, revision: modRevision });\n',
    replace: "      if (modRevision < 0) guards.length = 0;\n",
  },
  {
    name: "denial of a claim that was granted",
    file: "server/core/own-claim.ts",
    find: "    this.granted = true;\n    this.limitWait(undefined);\n",
    replace: "    this.granted = true;\n",
  },
  {
    name: "denial before the outcome of the acquire is known",
    file: "server/core/session.ts",
    find: 'if (own.progress !== "sent") this.answerGone(own);',
    replace: "this.answerGone(own);",
  },
  {
    name: "denial without the epoch",
    file: "server/core/claim-operations.ts",
    find: "return deleteClaim(this.claim, this.keys, [this.session.epochGuard()]);",
    replace: "return deleteClaim(this.claim, this.keys, []);",
  },
  {
    name: "released before it is known",
    file: "server/core/session.ts",
    find: '    if (base.leaving?.by !== "client") this.giveNotice(base, { by: "client" });\n',
    replace:
      '    if (base.leaving?.by !== "client") this.giveNotice(base, { by: "client" });\n' +
      '    this.send({ kind: "released", claimId });\n',
  },
  {
    name: "release sent only once",
    file: "server/core/claim-operations.ts",
    find: '      if (this.claim.stage !== "ended") host.submit(this);\n    };\n    if (outcome.kind === "refused") host.whenTable(outcome.revision, () => host.after(5, again));',
    replace:
      '    };\n    if (outcome.kind === "refused") host.whenTable(outcome.revision, () => host.after(5, again));',
  },
  {
    name: "end of a session without the epoch",
    file: "server/core/claim-operations.ts",
    find: 'return { guards: [this.session.epochGuard()], writes: [{ kind: "delete", key: sessionKey(this.session.id) }] };',
    replace: 'return { guards: [], writes: [{ kind: "delete", key: sessionKey(this.session.id) }] };',
  },
  {
    name: "end of a session tried once",
    file: "server/core/claim-operations.ts",
    find: "if (!this.session.isOver) host.submit(this);",
    replace: "",
  },
  {
    name: "given-up claims do not count for tries",
    file: "server/core/queue.ts",
    find: "if (this.givenUpCount > 0 && !this.givenUp.fits(spec, this.held.permits))",
    replace: "if (this.givenUpCount < 0)",
  },
  {
    name: "holders let in early count as holders for tries",
    file: "server/core/queue.ts",
    find: 'return this.givenUpUnsure > 0 || this.heldElsewhere > 0 ? "unclear" : "free";',
    replace: 'return this.givenUpUnsure > 0 ? "unclear" : "free";',
  },
  {
    name: "a try without its guard",
    file: "server/core/claim-operations.ts",
    find: '    if (this.kind === "try")\n      for (const lock of this.locks) guards',
    replace: '    if (this.kind !== "try")\n      for (const lock of this.locks) guards',
  },
  {
    name: "a waiting shared claim overtaken",
    file: "server/core/queue.ts",
    find: "if (seat.queue.firstWaiting !== seat || !seat.queue.admits(seat.spec)) return false;",
    replace: "if (!seat.queue.admits(seat.spec)) return false;",
  },
  {
    name: "no tie-break within a revision",
    file: "server/core/queue.ts",
    find: "? this.ordinal > other.ordinal",
    replace: "? this.ordinal < other.ordinal",
  },
  {
    name: "more permits than there are",
    file: "server/core/queue.ts",
    find: "this.permits + morePermits + spec.permits <= spec.limit",
    replace: "this.permits + morePermits < spec.limit",
  },
  {
    name: "an end and a beginning taken for one claim",
    file: "server/core/lock-table.ts",
    find: "if (entry === undefined || this.createRevisionOf(key) !== entry.createRevision) this.remove(key, delta);",
    replace: "if (entry === undefined) this.remove(key, delta);",
  },
  {
    name: "open of unknown outcome, known by the watch, given up",
    file: "server/engine/session-openings.ts",
    find: "    if (this.host.table.sessions.has(this.sessionId)) return;\n",
    replace: "",
  },
  {
    name: "a claim marked although its session has ended",
    file: "server/core/force-operations.ts",
    find: 'const guards: Guard[] = [{ kind: "created", key: sessionKey(session.id), revision: createRevision }];',
    replace: "const guards: Guard[] = [];\n    void createRevision;",
  },
  {
    name: "a mark that forgets the lease of the claim",
    file: "server/core/force-operations.ts",
    find: 'writes.push({ kind: "put", key, lease, value: { kind: "claim", record: { ...record, forced } } });',
    replace:
      'writes.push({ kind: "put", key, lease: 0n * lease, value: { kind: "claim", record: { ...record, forced } } });',
  },
  {
    name: "a release by force answered before it is known",
    file: "server/engine/forced-ends.ts",
    find: "        this.mayHaveEnded = true;\n        return host.barrier(() => this.again());",
    replace: '        return this.steps.done("ended");',
  },
  {
    name: "a KEEP session ended with its stream",
    file: "server/engine/engine.ts",
    find: '    if (session.record.onDisconnect === "release") {\n      if (how',
    replace: "    if (session.isOpen) {\n      if (how",
  },
  {
    name: "a KEEP session ended when its stream is refused",
    file: "server/engine/engine.ts",
    find: 'if (session?.record.onDisconnect === "release") session.end(reason, message);',
    replace: "session?.end(reason, message);",
  },
  {
    name: "no re-entry counted",
    file: "server/core/session.ts",
    find: "if (base.riders.size > 0 || (own.base !== undefined && !base.left)) {",
    replace: "if (own.base !== undefined && !base.left) {",
  },
  {
    name: "barrier without waiting for the table",
    file: "server/engine/barrier.ts",
    find: "if (outcome.revision > this.table.revision) this.store.requestProgress();",
    replace: "if (outcome.revision > 0) return this.finish(round, true);",
  },
  {
    name: "barrier that joins a read under way",
    file: "server/engine/barrier.ts",
    find: "    this.next = undefined;\n    this.reading = true;\n",
    replace: "    this.reading = true;\n",
  },
  {
    name: "what an earlier epoch left is settled too soon",
    file: "server/engine/engine.ts",
    find: "    for (const { id, now } of delta.sessions) this.sessionChanged(id, now);\n",
    replace:
      "    for (const { id, now } of delta.sessions) this.sessionChanged(id, now);\n" +
      "    for (const { id } of delta.sessions) this.sessions.get(id)?.settleDead();\n",
  },
  {
    name: "claims given up before all of a step is seen",
    file: "server/engine/engine.ts",
    find: "    for (const claim of delta.entered) this.sessions.get(claim.sessionId)?.saw(claim);\n",
    replace:
      "    for (const claim of delta.entered) {\n" +
      "      this.sessions.get(claim.sessionId)?.saw(claim);\n" +
      "      this.sessions.get(claim.sessionId)?.leave(claim);\n    }\n",
  },
  {
    name: "registration of a server never renewed",
    file: "server/engine/registration.ts",
    find: "    this.store.renewLease(lease, (outcome) => {\n",
    replace: "    if (this.leaseEndsAtMs > 0) return;\n    this.store.renewLease(lease, (outcome) => {\n",
  },
  {
    name: "servers not followed over a gap",
    file: "server/engine/engine.ts",
    find: "    this.servers.replace(snapshot.entries);\n",
    replace: "",
  },
  {
    name: "client: deadline counted from the answer",
    file: "clients/typescript/src/session-machine.ts",
    find: "if (sentAt !== undefined) this.#session?.validity.prove(sentAt, event.validForMs);",
    replace: "if (sentAt !== undefined) this.#session?.validity.prove(at, event.validForMs * 1.05);",
  },
  {
    name: "client: nothing lost at the deadline",
    file: "clients/typescript/src/session-machine.ts",
    find: "    const problem = this.#session?.validity.problemAt(at);\n    if (problem",
    replace: "    const problem = at.nowMs < 0 ? this.#session?.validity.problemAt(at) : undefined;\n    if (problem",
  },
  {
    name: "client: resumes with the same attempt",
    file: "clients/typescript/src/session-machine.ts",
    find: "  session.attempt += 1n;\n",
    replace: "  session.attempt = 1n;\n",
  },
  {
    name: "client: a release forgotten at a resume",
    file: "clients/typescript/src/claim-book.ts",
    find: '    for (const id of live.keys()) if (!this.#isWanted(id)) this.#desk.say({ kind: "release", claimId: id });\n',
    replace: "",
  },
  {
    name: "client: acquires forgotten at a resume",
    file: "clients/typescript/src/claim-book.ts",
    find: 'if (claim.stage.kind === "unsent" || claim.stage.kind === "asked") this.#ask(claim, nowMs);',
    replace: 'if (claim.stage.kind === "unsent") this.#ask(claim, nowMs);',
  },
  {
    name: "grant after a wait without looking whether one's own claim is still there",
    file: "server/core/session.ts",
    find: "    else this.answerLost(own); // Written, and gone again before it was seen.",
    replace: "    else this.tellGranted(own, false);",
  },
  {
    name: "grant of a claim that has ended while it waited",
    file: "server/core/session.ts",
    find: "    if (own.leaving !== undefined) this.answerGone(own);\n    else this.answerLost(own);",
    replace: "    if (own.leaving !== undefined) this.answerGone(own);\n    else this.tellGranted(own, false);",
  },
  {
    name: "renewal that stops for good after one error",
    file: "server/engine/renewals.ts",
    find: "      renewal.inFlight = false;\n",
    replace: '      renewal.inFlight = outcome.kind === "unavailable";\n',
  },
  {
    name: "a cancelled acquire that lands later",
    file: "server/core/claim-operations.ts",
    find: "    if (!session.stillWants(own)) return undefined;\n",
    replace: "    if (!session.isOpen) return undefined;\n",
  },
  {
    name: "a cancelled acquire answered while it may still land",
    file: "server/core/session.ts",
    find: "      // What was sent may exist: it is answered when that is known.\n",
    replace: '      if (leaving.by === "client") return this.answerGone(own);\n',
  },
  {
    name: "one shared keepalive stream",
    file: "server/adapters/etcd/renewals.ts",
    find: "const STREAMS = 8;",
    replace: "const STREAMS = 1;",
  },
  {
    name: "a stream of renewals that is blocked is waited for",
    file: "server/adapters/etcd/renewals.ts",
    find: "const STALLED_AFTER = 1 / 4;",
    replace: "const STALLED_AFTER = 4;",
  },
  {
    name: "sweep of the claims of a session that lives",
    file: "server/core/claim-operations.ts",
    find: '      guards: [{ kind: "absent", key: sessionKey(this.ended) }],\n',
    replace: "      guards: [],\n",
  },
  {
    name: "a gap in the watch ignored",
    file: "server/engine/engine.ts",
    find: '    this.replace(snapshot, "gap");\n',
    replace:
      '    if (!this.readiness.isReady) this.replace(snapshot, "gap");\n    else this.table.revision = snapshot.revision;\n',
  },
  {
    name: "a grant past the deadline",
    file: "server/core/session.ts",
    find: "    if (nowMs > this.deadlineMs) {\n",
    replace: "    if (nowMs < 0) {\n",
  },
  {
    name: "a grant before the proof that moves the deadline is never told",
    file: "server/core/session.ts",
    find: "        this.tellGranted(own, own.base !== undefined);\n",
    replace: "        return;\n",
  },
  {
    name: "two claims of a thread wait for each other",
    file: "server/core/reentry.ts",
    find: "touching.filter((other) => other.id < own.id)",
    replace: "touching",
  },
  {
    name: "a thread's further claim queues behind the one that it waits for",
    file: "server/core/reentry.ts",
    find: '  if (held.length === 0) return { kind: "awaited", base };\n',
    replace: '  if (held.length === 0) return { kind: "none" };\n',
  },
  {
    name: "a store that was restored is written to",
    file: "server/engine/engine.ts",
    find: "    this.committer.stop();\n",
    replace: "",
  },
  {
    name: "clients are not told of servers that came since",
    file: "server/engine/engine.ts",
    find: "(session) => this.tellOfServers(session)",
    replace: "() => undefined",
  },
  {
    name: "client: the first address may take all that is left of a session",
    file: "clients/typescript/src/session-machine.ts",
    find: "this.#leftMs(at) / (this.addresses.length + 1)",
    replace: "NEVER",
  },
  {
    name: "client: a suspended machine goes unnoticed",
    file: "clients/typescript/src/validity.ts",
    find: "    this.#gainedMs = aheadMs - this.#aheadMs;\n",
    replace: "    this.#gainedMs = aheadMs > 1e15 ? aheadMs - this.#aheadMs : 0;\n",
  },
  {
    name: "client: clocks trusted to run at the same rate",
    file: "clients/typescript/src/validity.ts",
    find: "const RATE_MARGIN = 0.99;",
    replace: "const RATE_MARGIN = 1.02;",
  },
  {
    name: "client: a grant that crosses the cancel is kept",
    file: "clients/typescript/src/claim-book.ts",
    find: '      this.#desk.say({ kind: "release", claimId: event.claimId });\n    } else if',
    replace: "    } else if",
  },
];
