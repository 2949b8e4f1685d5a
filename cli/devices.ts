/** `fleetgate devices` and `certificates`: who is there, and who is put out. */
import type { Command } from 'commander';
import type { MessageLimits } from '#common/contract/message-limits.ts';
import type { Receipt, SessionView } from '#common/contract/receipt.ts';
import type { Suspicion } from '#common/contract/suspicion.ts';
import { Fault } from '#common/fault.ts';
import { type BulkFlags, revokeMany } from './bulk-revocation.ts';
import { importCommand } from './import.ts';
import { limitsOf, limitsText } from './message-limits.ts';
import { allItems, asked, type NounFlags, verb, withRegistry } from './noun.ts';
import { facts, paint, table } from './output.ts';
import { suspicionLines } from './suspicion.ts';

interface Device {
  id: string;
  fleet: string;
  state: string;
  role: string | null;
  assignedRole: string | null;
  attributes: Record<string, string>;
  limits: MessageLimits | null;
  suspicion: Suspicion | null;
  updatedAt: string;
}

interface Certificate {
  fingerprint: string | null;
  serialNumber: string;
  device: string;
  state: string;
  notAfter: string;
  reason: string | null;
  certificate?: string | null;
}

type DeviceDetails = Device & { certificates: Certificate[]; sessions: SessionView[] };

/** A receipt in words: what it ended, and how fast. */
export function receiptLines(what: string, { certificates, sessions, complete }: Receipt): string[] {
  const ended = sessions.map(
    ({ protocol, address, gateway, closedAfterMs }) =>
      `  ${protocol} from ${address} on ${gateway}, closed after ${closedAfterMs} ms`,
  );
  return [
    `${what}; ${certificates.length} certificate(s) concerned, ${sessions.length} live connection(s) ended.`,
    ...ended,
    ...(complete
      ? []
      : [
          paint(
            'yellow',
            'Not every gateway has answered yet; those that are away will apply it when they return.',
          ),
        ]),
  ];
}

export function deviceCommands(program: Command): void {
  const devices = program.command('devices').description('devices of all fleets');
  importCommand(devices);
  verb(devices.command('list'), 'devices list --fleet plant --state active')
    .description('devices, by fleet, state or a part of their id')
    .option('--fleet <fleet>')
    .option('--state <state>')
    .option('--q <prefix>', 'beginning of the id')
    .option('--limit <n>', 'at most so many', '1000')
    .action((flags: NounFlags & { fleet?: string; state?: string; q?: string; limit: string }) =>
      withRegistry(flags, async (api, output) => {
        const { fleet, state, q } = flags;
        const items = await allItems<Device>(api, '/v1/devices', { fleet, state, q }, Number(flags.limit));
        output.answer(items, () =>
          table(
            ['DEVICE', 'FLEET', 'STATE', 'ROLE', 'CHANGED'],
            items.map((device) => [device.id, device.fleet, device.state, device.role, device.updatedAt]),
          ),
        );
      }),
    );
  verb(devices.command('show <device>'), 'devices show pump-1')
    .description('one device, its certificates and its sessions')
    .action((id: string, flags: NounFlags) =>
      withRegistry(flags, async (api, output) => {
        const device = await api.call<DeviceDetails>('GET', `/v1/devices/${encodeURIComponent(id)}`);
        output.answer(device, () => [
          ...suspicionLines(device),
          ...facts([
            ['device', device.id],
            ['fleet', device.fleet],
            ['state', device.state],
            [
              'role',
              device.role ??
                (device.assignedRole ? `${device.assignedRole}, by its attributes` : 'of its fleet'),
            ],
            [
              'attributes',
              Object.entries(device.attributes)
                .map(([name, value]) => `${name}=${value}`)
                .join(' ') || 'none',
            ],
            ['limits', limitsText(device.limits)],
          ]),
          '',
          ...table(
            ['CERTIFICATE', 'STATE', 'UNTIL', 'REASON'],
            device.certificates.map((each) => [each.fingerprint, each.state, each.notAfter, each.reason]),
          ),
          '',
          ...table(
            ['SESSION', 'FROM', 'GATEWAY', 'SINCE'],
            device.sessions.map((each) => [each.protocol, each.address, each.gateway, each.connectedAt]),
          ),
        ]);
      }),
    );
  verb(devices.command('limits <device> <windows>'), 'devices limits pump-1 100/s,2000/min,1MiB/s')
    .description('how much it may send; none goes by its fleet and role again, unlimited lifts what they say')
    .action((id: string, windows: string, flags: NounFlags) =>
      withRegistry(flags, async (api, output) => {
        const body = { limits: limitsOf(windows) };
        const device = await api.call<DeviceDetails>('PATCH', `/v1/devices/${encodeURIComponent(id)}`, body);
        output.answer(device, () => [
          `Limits of ${id}: ${limitsText(device.limits)}; its sessions go on by them.`,
        ]);
      }),
    );
  const acts = [
    ['disable', 'disabled', 'keep a device out until it is enabled again, and end its connections'],
    ['enable', 'enabled', 'let a disabled or quarantined device in again, and end a suspicion'],
  ] as const;
  for (const [act, done, meaning] of acts) {
    verb(devices.command(`${act} <device>`), `devices ${act} pump-1`)
      .description(meaning)
      .action((id: string, flags: NounFlags) =>
        withRegistry(flags, async (api, output) => {
          const receipt = await api.call<Receipt>('POST', `/v1/devices/${encodeURIComponent(id)}/${act}`);
          output.answer(receipt, () => receiptLines(`The device ${id} is ${done}`, receipt));
        }),
      );
  }
  verb(devices.command('revoke <device...>'), 'devices revoke pump-1 --reason keyCompromise')
    .description('revoke every certificate of a device, or of several, for good, and end their connections')
    .option('--reason <reason>', 'word of RFC 5280, such as keyCompromise')
    .option('--dry-run', 'say who would be cut, and change nothing')
    .action((ids: string[], flags: BulkFlags) =>
      withRegistry(flags, async (api, output) => {
        const [id = '', ...more] = ids;
        if (more.length > 0 || flags.dryRun)
          return revokeMany(api, output, flags, '/v1/devices:revoke', { devices: ids });
        const body = flags.reason ? { reason: flags.reason } : undefined;
        const path = `/v1/devices/${encodeURIComponent(id)}/revoke`;
        const receipt = await api.call<Receipt>('POST', path, body);
        output.answer(receipt, () => receiptLines(`The device ${id} is revoked`, receipt));
      }),
    );
  verb(devices.command('delete <device>'), 'devices delete pump-1')
    .description('forget a device; its id may enroll anew')
    .action((id: string, flags: NounFlags) =>
      withRegistry(flags, async (api, output) => {
        const receipt = await api.call<Receipt>('DELETE', `/v1/devices/${encodeURIComponent(id)}`);
        output.answer(receipt, () => receiptLines(`The device ${id} is gone, and its id is free`, receipt));
      }),
    );
}

export function certificateCommands(program: Command): void {
  const certificates = program.command('certificates').description('device certificates');
  verb(certificates.command('list'), 'certificates list --device pump-1')
    .description('certificates, by device, fleet or state')
    .option('--device <device>')
    .option('--fleet <fleet>')
    .option('--state <state>', 'reserved, issued, held or revoked')
    .option('--limit <n>', 'at most so many', '1000')
    .action((flags: NounFlags & { device?: string; fleet?: string; state?: string; limit: string }) =>
      withRegistry(flags, async (api, output) => {
        const { device, fleet, state } = flags;
        const items = await allItems<Certificate>(
          api,
          '/v1/certificates',
          { device, fleet, state },
          Number(flags.limit),
        );
        output.answer(items, () =>
          table(
            ['FINGERPRINT', 'DEVICE', 'STATE', 'UNTIL', 'REASON'],
            items.map((each) => [each.fingerprint, each.device, each.state, each.notAfter, each.reason]),
          ),
        );
      }),
    );
  verb(certificates.command('show <fingerprint>'), 'certificates show 9f86d0…')
    .description('one certificate')
    .action((fingerprint: string, flags: NounFlags) =>
      withRegistry(flags, async (api, output) => {
        const found = await api.call<Certificate>(
          'GET',
          `/v1/certificates/${encodeURIComponent(fingerprint)}`,
        );
        output.answer(found, () => [
          ...facts([
            ['device', found.device],
            ['serial', found.serialNumber],
            ['state', found.state],
            ['until', found.notAfter],
            ['reason', found.reason],
          ]),
          found.certificate ?? '',
        ]);
      }),
    );
  verb(certificates.command('revoke [fingerprint...]'), 'certificates revoke 9f86d0… --reason superseded')
    .description('revoke certificates and end their connections; or, with certificateHold, put them on hold')
    .option('--reason <reason>', 'word of RFC 5280')
    .option('--issuer <issuer>', 'all that this issuer has signed')
    .option('--dry-run', 'say who would be cut, and change nothing')
    .action((fingerprints: string[], flags: BulkFlags & { issuer?: string }) =>
      withRegistry(flags, async (api, output) => {
        const [fingerprint, ...more] = fingerprints;
        if ((fingerprint === undefined) === (flags.issuer === undefined))
          asked(() => {
            throw new Fault('malformed', 'Name fingerprints, or an issuer with --issuer.');
          });
        if (flags.issuer !== undefined) {
          const path = `/v1/issuers/${encodeURIComponent(flags.issuer)}/revoke-certificates`;
          return revokeMany(api, output, flags, path, {});
        }
        if (more.length > 0 || flags.dryRun)
          return revokeMany(api, output, flags, '/v1/certificates:revoke', { fingerprints });
        const body = flags.reason ? { reason: flags.reason } : undefined;
        const path = `/v1/certificates/${encodeURIComponent(fingerprint!)}/revoke`;
        const receipt = await api.call<Receipt>('POST', path, body);
        const what = flags.reason === 'certificateHold' ? 'on hold' : 'revoked';
        output.answer(receipt, () => receiptLines(`The certificate is ${what}`, receipt));
      }),
    );
  verb(certificates.command('reinstate <fingerprint>'), 'certificates reinstate 9f86d0…')
    .description('end the hold of a certificate: it is good again')
    .action((fingerprint: string, flags: NounFlags) =>
      withRegistry(flags, async (api, output) => {
        const path = `/v1/certificates/${encodeURIComponent(fingerprint)}/reinstate`;
        const receipt = await api.call<Receipt>('POST', path);
        output.answer(receipt, () => receiptLines('The certificate is good again', receipt));
      }),
    );
}
