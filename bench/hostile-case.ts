/** What honest devices get while a hostile crowd is at the doors, against what they get when it is quiet. */
import { openRegistryApi } from '../cli/registry-api.ts';
import { ForeignCa } from '../test/harness/foreign-ca.ts';
import { type Attack, attackNames, HostileCrowd, honestService, p99 } from '../test/harness/hostile-crowd.ts';
import type { Bench, Figure } from './figure.ts';
import { residentBytes } from './process-cost.ts';

/** Connections at once; on TLS and beyond they cost the attacker as much as us. */
const crowds: Readonly<Record<Attack, number>> = {
  'silent sockets': 10_000,
  'a ClientHello byte by byte': 10_000,
  'half-open handshakes': 10_000,
  'a CONNECT byte by byte': 500,
  'a PUBLISH half sent': 500,
  'HTTP headers byte by byte': 500,
  'frozen readers': 100,
  'certificates that are refused': 50,
  'noise instead of TLS': 500,
};
const honestDevices = 5;
const forMs = 10_000;
/** p99 under attack against p99 when it is quiet. */
const target = 3;

export async function hostile({ dir, fleetgate, identities }: Bench): Promise<Figure[]> {
  const honest = identities.slice(0, honestDevices);
  const device = identities[honestDevices]!;
  await using api = openRegistryApi({
    url: fleetgate.registry,
    ca: fleetgate.ca,
    token: fleetgate.adminToken,
  });
  await api.call('PUT', '/v1/roles/crowd', {
    severalSessions: true,
    rules: [
      { allow: 'publish', pattern: 'devices/${device.id}/telemetry/#' },
      { allow: 'subscribe', pattern: 'devices/+/telemetry/#' },
    ],
  });
  await api.call('PATCH', `/v1/devices/${device.id}`, { role: 'crowd' });
  const stranger = ForeignCa.root(dir, 'acme').leaf('stranger', fleetgate.ca);
  const quiet = await honestService(honest, fleetgate.port, forMs);
  const figures: Figure[] = [];
  for (const attack of attackNames) {
    const order = {
      attack,
      mqtts: fleetgate.port,
      https: fleetgate.https,
      ca: fleetgate.ca,
      count: crowds[attack],
      device,
      stranger,
    };
    const before = residentBytes(fleetgate.pid);
    await using _crowd = await HostileCrowd.start(order);
    const { connectMs, publishMs, failures } = await honestService(honest, fleetgate.port, forMs);
    const grown = (residentBytes(fleetgate.pid) - before) / 1e6;
    const figure = (what: string, unit: string, ours: number, peer: number | null, aim: number | null) =>
      figures.push({ what: `${crowds[attack]} × ${attack}: ${what}`, unit, ours, peer, target: aim });
    figure('connect p99, against quiet', 'ms', p99(connectMs), p99(quiet.connectMs), target);
    figure('QoS 1 p99, against quiet', 'ms', p99(publishMs), p99(quiet.publishMs), target);
    figure('honest devices not served', '', failures.length, null, 0);
    figure('resident memory gained', 'MB', grown, null, null);
  }
  return figures;
}
