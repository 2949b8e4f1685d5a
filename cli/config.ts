/** The whole configuration of a server: the sections of both towers and what stands above them. */
import { existsSync, readFileSync } from 'node:fs';
import Type, { type Static } from 'typebox';
import { addressRanges } from '#common/address-range.ts';
import { loadConfiguration } from '#common/config/load.ts';
import { Count, Section, Text } from '#common/config/schema.ts';
import { Fault } from '#common/fault.ts';
import { type LogLevel, logLevels } from '#common/log.ts';
import { type GatewaySettings, gatewaySettings } from '../gateway/settings.ts';
import { type RegistrySettings, registrySections } from '../registry/settings.ts';
import { type HandedSockets, handedSockets } from './activation.ts';

/** What `workers` is when nobody says. */
const defaultWorkers = 1;

export const topSettings = {
  data: Text('./data', 'Folder of everything that is kept; made 0700.'),
  host: Text('127.0.0.1', 'Address that the doors listen on.'),
  workers: Count(
    defaultWorkers,
    'Processes that hear devices at the same ports; 0 is one a core, 1 is all in one process.',
    0,
  ),
  name: Text('gateway', 'Name of this gateway, in receipts and decisions.'),
  trustDomain: Text('fleetgate.local', 'Trust domain of the SPIFFE IDs in certificates.'),
  doorNames: Type.Array(Type.String(), {
    default: [],
    description: 'Further DNS names and addresses of the server certificate.',
  }),
  log: Section(
    {
      level: Type.Enum([...logLevels], {
        default: 'info',
        description: 'Least level that is written to stderr.',
      }),
    },
    'The log.',
  ),
};

export const configurationSchema = Section(
  { ...topSettings, ...gatewaySettings, ...registrySections },
  'Fleetgate.',
);

type TopSettings = Static<typeof configurationSchema>;
export type Configuration = Pick<
  TopSettings,
  'data' | 'host' | 'workers' | 'name' | 'trustDomain' | 'doorNames'
> & {
  log: { level: LogLevel };
} & GatewaySettings &
  RegistrySettings;

/** Where a server on this machine keeps its data, when no flag says so. */
export const defaultDataDir = (): string => process.env.FLEETGATE_DATA ?? './data';

/** The sockets that were handed over to this process; asked once, since those that it starts are not to take them for theirs. */
export function takeHandedSockets(): HandedSockets {
  const { LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES } = process.env;
  for (const name of ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES']) delete process.env[name];
  return handedSockets({ LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES }, process.pid);
}

/** Reads the file (`fleetgate.yaml` when it is there and none is named), the environment and flags. */
export function readConfiguration(file: string | undefined, flags: Record<string, unknown>): Configuration {
  const path = file ?? 'fleetgate.yaml';
  if (file !== undefined && !existsSync(file))
    throw new Fault('not-found', `There is no configuration file ${file}.`);
  const text = existsSync(path) ? { path, text: readFileSync(path, 'utf8') } : undefined;
  return loadConfiguration<Configuration>(
    configurationSchema,
    { file: text, env: process.env, flags },
    relations,
  );
}

/** What must hold between keys. */
function relations(settings: Configuration): { path: string; message: string }[] {
  const problems: { path: string; message: string }[] = [];
  const names = Object.keys(settings.backends);
  for (const [index, route] of settings.routes.entries()) {
    for (const name of route.to) {
      if (!names.includes(name))
        problems.push({
          path: `routes.${index}`,
          message: `there is no backend ${name}; there are ${names.join(', ')}`,
        });
    }
  }
  for (const [name, backend] of Object.entries(settings.backends)) {
    if (backend.type === 'http' && (backend.certFile === undefined) !== (backend.keyFile === undefined)) {
      problems.push({ path: `backends.${name}`, message: 'certFile and keyFile belong together' });
    }
    if (backend.type === 'http' && !URL.canParse(backend.url)) {
      problems.push({ path: `backends.${name}.url`, message: `${backend.url} is not a URL` });
    }
  }
  if (!settings.mqtt.topics.includes('native')) {
    problems.push({ path: 'mqtt.topics', message: 'native is always among them' });
  }
  if (settings.mqtt.maxConnectSize > settings.mqtt.maxPacketSize) {
    problems.push({ path: 'mqtt.maxConnectSize', message: 'this is not above mqtt.maxPacketSize' });
  }
  for (const door of ['mqtt', 'https'] as const) {
    for (const [index, text] of settings[door].proxy.from.entries()) {
      try {
        addressRanges([text]);
      } catch (thrown) {
        problems.push({ path: `${door}.proxy.from.${index}`, message: Fault.of(thrown).message });
      }
    }
  }
  if (settings.limits.connectionsPerAddress > settings.limits.connections) {
    problems.push({ path: 'limits.connectionsPerAddress', message: 'this is not above limits.connections' });
  }
  return problems;
}
