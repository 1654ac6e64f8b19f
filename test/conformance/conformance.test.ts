import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { type ServiceOptions, useService } from "../support/service.ts";
import { build, Driver } from "./driver.ts";
import { languages } from "./languages.ts";
import { play, toldByNobody } from "./play.ts";
import type { Scenario } from "./scenario.ts";
import { scenarios } from "./scenarios.ts";

// Scenarios mostly wait.
vi.setConfig({ maxConcurrency: 24 });

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

for (const [p, { name: place, service: options, fits }] of places.entries())
  describe.concurrent(place, { timeout: 300_000 }, () => {
    const service = useService(options);

    for (const language of tested) {
      let drivers: readonly Driver[] = [];
      beforeAll(async () => {
        await build(language);
        drivers = [await Driver.start(language)];
      }, 600_000);

      for (const [n, scenario] of scenarios.entries())
        if (fits(scenario))
          it(`${language.name}: ${scenario.title}`, () =>
            play(scenario, {
              service: service(),
              languages: [language],
              drivers,
              scope: `c/${language.name}/${p}/${n}`,
            }));

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
