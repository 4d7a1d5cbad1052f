/** A program that appends to a file 50 times, each time replacing all of it under its lock: `lock_holder.ts <path>`. */
import { denoEnvironment } from "../../../../lib/cli/environment.ts";

const environment = denoEnvironment();
const [path = ""] = Deno.args;
for (let time = 0; time < 50; time++) {
  environment.withLock(path, () => {
    environment.replaceFile(path, `${Deno.readTextFileSync(path)}x`);
  });
}
