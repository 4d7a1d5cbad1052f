/** Stand-in for `jsr:@std/cli/parse-args` where JSR cannot be reached (see tools/std_imports.ts). */
