/** What the verbs of the registry's nouns have in common: how they find the server, and how they answer. */
import { type Command, CommanderError } from 'commander';
import { Fault } from '#common/fault.ts';
import { type Output, openOutput } from './output.ts';
import { openRegistryApi, type RegistryApi } from './registry-api.ts';
import { registryAccess, type WhereFlags } from './where.ts';

export interface NounFlags extends WhereFlags {
  json?: boolean;
}

/** Adds the flags that every verb has, and an example under its help. */
export const verb = (command: Command, example: string): Command =>
  command
    .option('--data <dir>', 'data folder of the server on this machine (default ./data)')
    .option('--registry <url>', 'registry elsewhere')
    .option('--token-file <file>', 'API token for it')
    .option('--ca <file>', 'CA bundle for it')
    .option('--cert <file>', 'certificate of an operator, instead of a token')
    .option('--key <file>', 'key of that certificate')
    .option('--json', 'one JSON document')
    .addHelpText('after', `\nExample:\n  fleetgate ${example}`);

/** Opens the registry, runs, and closes it again. */
export async function withRegistry(
  flags: NounFlags,
  run: (api: RegistryApi, output: Output) => Promise<void>,
): Promise<void> {
  await using api = openRegistryApi(asked(() => registryAccess(flags)));
  await run(api, openOutput(flags.json === true));
}

/** Every item of a list that pages by cursor, up to `most`. */
export async function allItems<Item>(
  api: RegistryApi,
  path: string,
  query: Record<string, string | undefined>,
  most: number,
): Promise<Item[]> {
  const items: Item[] = [];
  let cursor: string | null = null;
  do {
    const words = new URLSearchParams({ limit: String(Math.min(1000, most - items.length)) });
    for (const [name, value] of Object.entries(query)) if (value !== undefined) words.set(name, value);
    if (cursor !== null) words.set('cursor', cursor);
    const page: { items: Item[]; nextCursor: string | null } = await api.call('GET', `${path}?${words}`);
    items.push(...page.items);
    cursor = page.nextCursor;
  } while (cursor !== null && items.length < most);
  return items;
}

/** What was asked for on the command line, read: a fault in it is one of usage, exit code 2. */
export function asked<T>(read: () => T): T {
  try {
    return read();
  } catch (thrown) {
    const fault = Fault.of(thrown);
    if (fault.kind !== 'malformed') throw thrown;
    throw new CommanderError(2, usageCode, fault.message);
  }
}

export const usageCode = 'fleetgate.usage';
