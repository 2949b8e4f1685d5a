/** `fleetgate fleets` and `tokens`: who may be enrolled where. */
import type { Command } from 'commander';
import { type BulkFlags, revokeMany } from './bulk-revocation.ts';
import { type NounFlags, verb, withRegistry } from './noun.ts';
import { facts, table } from './output.ts';

interface Fleet {
  id: string;
  role: string;
  createdAt: string;
  devices?: Record<string, number>;
}

interface Token {
  id: string;
  fleet: string;
  deviceId: string | null;
  uses: number;
  usesLeft: number;
  expiresAt: string;
  revoked: boolean;
  token?: string;
}

export function fleetCommands(program: Command): void {
  const fleets = program.command('fleets').description('fleets of devices');
  verb(fleets.command('create <fleet>'), 'fleets create plant')
    .description('make a fleet')
    .option('--role <role>', 'role of its devices', 'device')
    .action((id: string, flags: NounFlags & { role: string }) =>
      withRegistry(flags, async (api, output) => {
        const fleet = await api.call<Fleet>('POST', '/v1/fleets', { id, role: flags.role });
        output.answer(fleet, () => [
          `The fleet ${fleet.id} exists; its devices act in the role ${fleet.role}.`,
        ]);
      }),
    );
  verb(fleets.command('list'), 'fleets list')
    .description('all fleets')
    .action((flags: NounFlags) =>
      withRegistry(flags, async (api, output) => {
        const { items } = await api.call<{ items: Fleet[] }>('GET', '/v1/fleets');
        output.answer(items, () =>
          table(
            ['FLEET', 'ROLE', 'CREATED'],
            items.map(({ id, role, createdAt }) => [id, role, createdAt]),
          ),
        );
      }),
    );
  verb(fleets.command('show <fleet>'), 'fleets show plant')
    .description('one fleet')
    .action((id: string, flags: NounFlags) =>
      withRegistry(flags, async (api, output) => {
        const fleet = await api.call<Fleet>('GET', `/v1/fleets/${encodeURIComponent(id)}`);
        const devices = Object.entries(fleet.devices ?? {}).map(([state, count]) => `${count} ${state}`);
        output.answer(fleet, () =>
          facts([
            ['fleet', fleet.id],
            ['role', fleet.role],
            ['devices', devices.join(', ') || 'none'],
            ['created', fleet.createdAt],
          ]),
        );
      }),
    );
  verb(fleets.command('revoke <fleet>'), 'fleets revoke plant --dry-run')
    .description('revoke every device of a fleet for good, and end its connections')
    .option('--reason <reason>', 'word of RFC 5280, such as cessationOfOperation')
    .option('--dry-run', 'say who would be cut, and change nothing')
    .action((id: string, flags: BulkFlags) =>
      withRegistry(flags, (api, output) =>
        revokeMany(api, output, flags, `/v1/fleets/${encodeURIComponent(id)}/revoke`, {}),
      ),
    );
}

export function tokenCommands(program: Command): void {
  const tokens = program.command('tokens').description('enrollment tokens');
  verb(tokens.command('create <fleet>'), 'tokens create plant --device pump-1')
    .description('make an enrollment token; it is shown this once')
    .option('--device <id>', 'for this device only')
    .option('--uses <n>', 'enrollments it is good for', '1')
    .option('--ttl <duration>', 'how long it is good', '1h')
    .action((fleet: string, flags: NounFlags & { device?: string; uses: string; ttl: string }) =>
      withRegistry(flags, async (api, output) => {
        const body = { deviceId: flags.device, uses: Number(flags.uses), ttl: flags.ttl };
        const token = await api.call<Token>('POST', `/v1/fleets/${encodeURIComponent(fleet)}/tokens`, body);
        output.note(`Good for ${token.uses} enrollment(s) until ${token.expiresAt}. It is shown this once:`);
        output.answer(token, () => [token.token ?? '']);
      }),
    );
  verb(tokens.command('list <fleet>'), 'tokens list plant')
    .description('the tokens of a fleet, without their secrets')
    .action((fleet: string, flags: NounFlags) =>
      withRegistry(flags, async (api, output) => {
        const { items } = await api.call<{ items: Token[] }>(
          'GET',
          `/v1/fleets/${encodeURIComponent(fleet)}/tokens`,
        );
        const rows = items.map((token) => [
          token.id,
          token.deviceId,
          `${token.usesLeft}/${token.uses}`,
          token.expiresAt,
          token.revoked ? 'revoked' : '',
        ]);
        output.answer(items, () => table(['TOKEN', 'DEVICE', 'LEFT', 'EXPIRES', ''], rows));
      }),
    );
  verb(tokens.command('revoke <token>'), 'tokens revoke 3kfa8Yb')
    .description('end a token by its id')
    .action((id: string, flags: NounFlags) =>
      withRegistry(flags, async (api, output) => {
        await api.call('DELETE', `/v1/tokens/${encodeURIComponent(id)}`);
        output.answer({ revoked: id }, () => [`The token ${id} enrolls nobody any more.`]);
      }),
    );
}
