/** Prints the JSON Schema of the config file. `deno task schema` writes it to docs/config.schema.json. */
import { configSchema } from "../lib/server/config/schema.ts";

await Deno.stdout.write(new TextEncoder().encode(`${JSON.stringify(configSchema(), null, 2)}\n`));
