/** A browser without a window, for tests of pages. */
import { type Browser, launch } from "puppeteer-core";

/** Where Debian, Ubuntu, Fedora and the images of GitHub's runners have it. */
const PATHS = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

/** Starts Chromium; null where it is not installed. The caller closes it. */
export async function startChromium(): Promise<Browser | null> {
  const executablePath = PATHS.find((path) => {
    try {
      return Deno.statSync(path).isFile;
    } catch {
      return false;
    }
  });
  if (executablePath === undefined) return null;
  // The sandbox needs rights that containers do not give; only pages of the test are opened.
  return await launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });
}
