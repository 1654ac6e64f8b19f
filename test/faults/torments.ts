import { setTimeout as delay } from "node:timers/promises";
import { monotonicMs } from "../support/monotonic.ts";
import type { Episode } from "./episode.ts";
import { dealFaults, type Fault } from "./faults.ts";
import type { ClientRun } from "./history.ts";

/** Two or three faults at a time, chosen by the episode's seed. */
export function chaos(forMs: number): (episode: Episode) => Promise<void> {
  return async (episode) => {
    const { random } = episode;
    const atATime = 2 + random.below(2);
    const faults = dealFaults(episode, random);
    const active = new Map<string, Promise<void>>();
    const over = new AbortController();
    const suffer = async (fault: Fault): Promise<void> => {
      episode.count(`fault: ${fault.name}`);
      episode.log(`begins: ${fault.name} (${fault.target})`);
      await fault.begin();
      await delay(fault.forMs, undefined, { signal: over.signal }).catch(() => undefined);
      await fault.end();
      episode.log(`ended: ${fault.name} (${fault.target})`);
      active.delete(fault.target);
    };
    // All clients have something to lose by then.
    await delay(1000);
    const untilMs = performance.now() + forMs;
    while (performance.now() < untilMs) {
      while (active.size < atATime) {
        const fault = faults.next().value;
        if (!active.has(fault.target)) active.set(fault.target, suffer(fault));
      }
      if ([...active.keys()].filter((target) => target.startsWith("etcd")).length > 1)
        episode.count("two of three members of etcd in trouble at a time");
      await Promise.race([...active.values(), delay(Math.max(0, untilMs - performance.now()))]);
    }
    over.abort();
    await Promise.all(active.values());
  };
}

/** How long clients took until a server answered them again, in milliseconds. */
export type Gaps = number[];

/**
 * Kills servers one after the other, as a crash does, under load: no client may lose a claim, and each is served again
 * within `withinMs`. Fills in how long that took.
 */
export function killServers(times: number, withinMs: number, gaps: Gaps): (episode: Episode) => Promise<void> {
  return async (episode) => {
    const killedAtMs: number[] = [];
    await delay(2000);
    for (let i = 0; i < times; i++) {
      const server = episode.random.pick(episode.servers);
      killedAtMs.push(monotonicMs());
      await server.kill9();
      episode.log(`killed: ${server.machine.name}`);
      episode.count("show: server killed under load");
      server.start();
      await server.serves(30_000);
      await delay(200 + episode.random.below(600));
    }
    await delay(1000);
    const { claims } = episode.history();
    for (const { run, op, lost } of claims)
      if (lost !== undefined) episode.found("LOST-WITH-SERVER", `${run.name} op ${op}: ${lost.reason}`);
    for (const client of episode.clients) {
      const grants = claims.filter(({ run, granted }) => run === client.run && granted !== undefined);
      for (const atMs of killedAtMs) {
        const next = grants.find(({ askedAtMs }) => askedAtMs > atMs);
        const gapMs = next === undefined ? Number.POSITIVE_INFINITY : next.granted!.atMs - atMs;
        gaps.push(gapMs);
        if (gapMs > withinMs)
          episode.found("NOT-RESUMED", `${client.run.name} was not served for ${gapMs.toFixed()} ms after a kill`);
      }
    }
  };
}

/** Kills etcd's leader right after a grant, again and again. */
export function killLeaders(times: number): (episode: Episode) => Promise<void> {
  return async (episode) => {
    await delay(1000);
    for (let i = 0; i < times; i++) {
      const leader = await episode.etcd.leader();
      if (leader === undefined) {
        await delay(200);
        i--;
        continue;
      }
      await episode.registers.nextHolder();
      await leader.kill9();
      episode.log(`killed: the leader (${leader.machine.name})`);
      episode.count("show: leader of etcd killed right after a grant");
      await delay(episode.random.below(2500));
      leader.start();
      await episode.etcd.answers(60_000);
    }
  };
}

/**
 * Stops a client while it holds a lock that others want, for twice its TTL. Its write that follows is late; that it
 * lost the lock is what it learns as soon as it goes on.
 */
export function stopHolders(times: number, ttlMs: number): (episode: Episode) => Promise<void> {
  return async (episode) => {
    await delay(1000);
    const stops: { readonly run: ClientRun; readonly goesOnAtMs: number }[] = [];
    for (let i = 0; i < times; i++) {
      const run = await episode.registers.nextHolder();
      const client = episode.clients.find((each) => each.run === run);
      if (client === undefined) continue;
      client.signal("SIGSTOP");
      await delay(2 * ttlMs);
      stops.push({ run, goesOnAtMs: monotonicMs() });
      client.signal("SIGCONT");
      await delay(2000);
    }
    const { claims, touches } = episode.history();
    for (const { run, goesOnAtMs } of stops) {
      episode.count("show: holder stopped for twice its TTL");
      const its = claims.filter((each) => each.run === run);
      const stale = its.filter(({ granted, lost, released }) => {
        const isOver = (lost?.atMs ?? released?.atMs ?? Number.POSITIVE_INFINITY) < goesOnAtMs;
        return granted !== undefined && granted.atMs < goesOnAtMs && !isOver;
      });
      for (const story of stale) {
        if (story.lost === undefined && story.releases === undefined)
          episode.found("LOSS-NOT-TOLD", `${run.name} op ${story.op} was never told that it is lost`);
        if (story.lost !== undefined) episode.count("show: a stopped holder was told of its loss when it went on");
        if ((story.believed?.atMs ?? 0) > goesOnAtMs)
          episode.found("LOSS-NOT-KNOWN", `${run.name} op ${story.op} believed after it had been stopped`);
      }
      const late = touches.filter(({ story, calledAtMs }) => stale.includes(story) && calledAtMs > goesOnAtMs);
      for (const { answered } of late)
        if (answered?.accepted === false) episode.count("show: late write of a stopped holder refused");
    }
  };
}
