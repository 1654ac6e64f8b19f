import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { useService } from "../support/service.ts";
import { build, Driver } from "./driver.ts";
import { type Language, languages } from "./languages.ts";
import { play } from "./play.ts";
import { scenarios } from "./scenarios.ts";

// Scenarios mostly wait.
vi.setConfig({ maxConcurrency: 24 });

/** `CONFORMANCE=go` in the environment: only that language. */
const only = process.env.CONFORMANCE;
const tested = languages.filter(({ name }) => only === undefined || name === only);

for (const servers of [1, 3])
  describe.concurrent(`${servers} ${servers === 1 ? "server" : "servers"}`, { timeout: 300_000 }, () => {
    const service = useService({ servers });

    for (const language of tested) {
      let drivers: readonly Driver[] = [];
      beforeAll(async () => {
        await build(language);
        drivers = [await Driver.start(language)];
      }, 600_000);

      for (const [n, scenario] of scenarios.entries())
        it(`${language.name}: ${scenario.title}`, () =>
          play(scenario, { service: service(), languages: [language], drivers, scope: scope(language, servers, n) }));

      afterAll(async () => {
        expect(await Promise.all(drivers.map((driver) => driver.end()))).toEqual(drivers.map(() => "it ended: 0"));
      });
    }
  });

const scope = ({ name }: Language, servers: number, n: number) => `conformance/${name}/${servers}/${n}`;
