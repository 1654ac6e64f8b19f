import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { leaveNoProcess, type ServiceOptions, useServiceInSuite } from "../support/service.ts";
import { build, Driver } from "./driver.ts";
import { type Language, languages } from "./languages.ts";
import { play, toldByNobody } from "./play.ts";
import type { Scenario } from "./scenario.ts";
import { scenarios } from "./scenarios.ts";

// Scenarios mostly wait.
vi.setConfig({ maxConcurrency: 16 });

/** `CONFORMANCE=go` in the environment: only that language. */
const only = process.env.CONFORMANCE;
const tested = languages.filter(({ name }) => only === undefined || name === only);

/** Small enough to be reached in a scenario. */
const flags = ["--max-claims-per-session", "40", "--max-waiters-per-lock", "5", ...toldByNobody];

interface Place {
  readonly name: string;
  readonly service: ServiceOptions;
  readonly fits: (scenario: Scenario) => boolean;
}

const places: readonly Place[] = [
  { name: "one server", service: { servers: 1, flags }, fits: ({ highTokens }) => !highTokens },
  {
    name: "three servers, after 2^52 revisions",
    service: { servers: 3, flags, etcd: { revisionsBefore: 2 ** 52 } },
    // What brings its own servers or processes needs to be played only once.
    fits: ({ servers, alone }) => servers === undefined && !alone,
  },
];

/** Who plays: each language by itself, and all of them together, so that what one does another is told. */
interface Cast {
  readonly name: string;
  readonly languages: readonly Language[];
  /** The scenarios in which one language meets another are those without processes of their own. */
  readonly fits: (scenario: Scenario) => boolean;
}

const casts: readonly Cast[] = [
  ...tested.map((language) => ({ name: language.name, languages: [language], fits: () => true })),
  ...(tested.length < 2
    ? []
    : [{ name: "all together", languages: tested, fits: ({ alone, servers }: Scenario) => !alone && !servers }]),
];

leaveNoProcess();

beforeAll(async () => {
  for (const language of tested) await build(language);
}, 900_000);

for (const [p, place] of places.entries())
  describe.concurrent(place.name, { timeout: 300_000 }, () => {
    const service = useServiceInSuite(place.service);

    for (const cast of casts) {
      // Together they play where most can go wrong.
      if (cast.languages.length > 1 && p === 0) continue;
      let drivers: readonly Driver[] = [];
      beforeAll(async () => {
        drivers = await Promise.all(cast.languages.map((language) => Driver.start(language)));
      }, 120_000);

      for (const [n, scenario] of scenarios.entries())
        if (place.fits(scenario) && cast.fits(scenario)) {
          // Each scenario begins with another language.
          const turned = <Item>(items: readonly Item[]) => items.map((_, i) => items[(i + n) % items.length]!);
          it(`${cast.name}: ${scenario.title}`, () =>
            play(scenario, {
              service: service(),
              languages: turned(cast.languages),
              drivers: turned(drivers),
              scope: `c/${cast.name}/${p}/${n}`,
            }));
        }

      afterAll(async () => {
        expect(await Promise.all(drivers.map((driver) => driver.end()))).toEqual(drivers.map(() => "it ended: 0"));
      });
    }
  });

it("the suite has at least 120 scenarios, each with a name of its own", () => {
  const titles = scenarios.map(({ title }) => title);
  expect(new Set(titles).size).toBe(titles.length);
  expect(titles.length).toBeGreaterThanOrEqual(120);
});
