/** The tree as the laws see it: files of ours, and their text without comments and strings. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../..', import.meta.url));
const skipped = new Set(['node_modules', '.git', 'data', 'coverage']);

function* walk(dir: string): Generator<string> {
  for (const name of readdirSync(dir)) {
    if (skipped.has(name)) continue;
    const path = join(dir, name);
    if (statSync(path).isDirectory()) yield* walk(path);
    else yield relative(root, path);
  }
}

export const files = [...walk(root)].sort();
export const sources = files.filter((file) => file.endsWith('.ts'));
/** Source that ships: not tests, benches or configuration of tools. */
export const houseSources = sources.filter((file) => /^(common|gateway|registry|simulator|cli)\//.test(file));
export const text = (file: string): string => readFileSync(join(root, file), 'utf8');

/** Code with comments and the insides of quotes blanked out, line by line as it was. */
export function code(file: string): string {
  const source = text(file);
  const blank = (found: string) => found.replace(/[^\n]/g, ' ');
  return source.replace(/\/\*[\s\S]*?\*\/|\/\/[^\n]*|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"/g, (found) =>
    found.startsWith('/') ? blank(found) : found[0] + blank(found.slice(1, -1)) + found[0],
  );
}

const written =
  /(?:^|\n)\s*(?:import|export)\b[^;'"]*?\bfrom\s*['"]([^'"]+)['"]|(?:^|\n)import\s*['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]\s*\)/g;

/** What a file imports, as written, and the file of ours that it means, if it is one. */
export function importsOf(file: string): { specifier: string; target: string | null }[] {
  return [...text(file).matchAll(written)].map((match) => {
    const specifier = (match[1] ?? match[2] ?? match[3])!;
    if (specifier.startsWith('#common/')) return { specifier, target: `common/${specifier.slice(8)}` };
    if (!specifier.startsWith('.')) return { specifier, target: null };
    return { specifier, target: join(file, '..', specifier) };
  });
}
