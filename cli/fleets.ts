/** `fleetgate fleets` and `tokens`: who may be enrolled where. */
import { type Command, CommanderError } from 'commander';
import type { MessageLimits } from '#common/contract/message-limits.ts';
import { type BulkFlags, revokeMany } from './bulk-revocation.ts';
import { limitsOf, limitsText } from './message-limits.ts';
import { type NounFlags, usageCode, verb, withRegistry } from './noun.ts';
import { facts, table } from './output.ts';
import { renewalsCommand } from './renewals.ts';

interface Fleet {
  id: string;
  role: string;
  profile: string;
  approval: string;
  grace: string;
  skew: string;
  limits: MessageLimits | null;
  createdAt: string;
  devices?: Record<string, number>;
}

interface FleetTerms {
  role?: string;
  profile?: string;
  approval?: string;
  grace?: string;
  skew?: string;
  limits?: string;
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
  termsFlags(verb(fleets.command('create <fleet>'), 'fleets create plant --approval manual'))
    .description('make a fleet')
    .action((id: string, flags: NounFlags & FleetTerms) =>
      withRegistry(flags, async (api, output) => {
        const fleet = await api.call<Fleet>('POST', '/v1/fleets', { id, ...termsOf(flags) });
        output.answer(fleet, () => [
          `The fleet ${fleet.id} exists; its devices act in the role ${fleet.role} and get certificates of the profile ${fleet.profile}.`,
        ]);
      }),
    );
  termsFlags(verb(fleets.command('set <fleet>'), 'fleets set plant --profile gauge --grace 60d'))
    .description('change what is said of a fleet; its devices are judged by it at once')
    .action((id: string, flags: NounFlags & FleetTerms) =>
      withRegistry(flags, async (api, output) => {
        const terms = termsOf(flags);
        if (Object.keys(terms).length === 0)
          throw new CommanderError(
            2,
            usageCode,
            'Say what to change: --role, --profile, --approval, --grace, --skew, --limits.',
          );
        const fleet = await api.call<Fleet>('PATCH', `/v1/fleets/${encodeURIComponent(id)}`, terms);
        output.answer(fleet, () => factsOf(fleet));
      }),
    );
  verb(fleets.command('list'), 'fleets list')
    .description('all fleets')
    .action((flags: NounFlags) =>
      withRegistry(flags, async (api, output) => {
        const { items } = await api.call<{ items: Fleet[] }>('GET', '/v1/fleets');
        output.answer(items, () =>
          table(
            ['FLEET', 'ROLE', 'PROFILE', 'APPROVAL', 'CREATED'],
            items.map(({ id, role, profile, approval, createdAt }) => [
              id,
              role,
              profile,
              approval,
              createdAt,
            ]),
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
        output.answer(fleet, () => factsOf(fleet, [['devices', devices.join(', ') || 'none']]));
      }),
    );
  renewalsCommand(fleets);
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

const termsFlags = (command: Command): Command =>
  command
    .option('--role <role>', 'role of its devices')
    .option('--profile <profile>', 'what their certificates are like')
    .option('--approval <how>', 'automatic, or manual: an operator approves each enrollment')
    .option('--grace <duration>', 'how long an expired certificate is still good for renewal')
    .option('--skew <duration>', 'the same for one that is not valid yet')
    .option(
      '--limits <windows>',
      'how much each may send, such as 100/s,2000/min,1MiB/s; none takes it back, unlimited lifts what the role says',
    );

const termsOf = ({ role, profile, approval, grace, skew, limits }: FleetTerms): Record<string, unknown> => {
  const terms = { role, profile, approval, grace, skew, limits: limits && limitsOf(limits) };
  return Object.fromEntries(Object.entries(terms).filter(([, value]) => value !== undefined));
};

const factsOf = (fleet: Fleet, more: [string, string][] = []): string[] =>
  facts([
    ['fleet', fleet.id],
    ['role', fleet.role],
    ['profile', fleet.profile],
    ['approval', fleet.approval],
    ['grace', fleet.grace],
    ['skew', fleet.skew],
    ['limits', limitsText(fleet.limits)],
    ['created', fleet.createdAt],
    ...more,
  ]);

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
