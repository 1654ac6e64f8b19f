import { type Command, Option } from "commander";
import { type Config, ConfigError, readConfig } from "../../server/config.ts";
import { environmentName, type Setting, type SettingName, settings } from "../../server/settings.ts";
import { complain } from "./complain.ts";

/** Adds those settings of a server to a command that can be given as flags; `only`: just these. */
export function addServerOptions(command: Command, only?: readonly SettingName[]): void {
  for (const setting of settings) {
    if ("environmentOnly" in setting || (only !== undefined && !only.includes(setting.name))) continue;
    command.addOption(optionOf(setting));
  }
}

/** What flags and environment say; `undefined`: something is wrong, and was complained about. */
export function readServerOptions(command: Command): Config | undefined {
  const given = command.options.map((option) => [option.name(), command.getOptionValue(option.attributeName())]);
  const flags = Object.fromEntries(given.filter(([, value]) => value !== undefined));
  try {
    return readConfig(flags, process.env);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    complain(error.message);
    return undefined;
  }
}

function optionOf({ name, value, fallback, text }: Setting): Option {
  const variable = `${environmentName(name)}${fallback === undefined ? "" : `; default: ${fallback}`}`;
  return new Option(`--${name}${value === undefined ? "" : ` <${value}>`}`, `${text} (${variable})`);
}
