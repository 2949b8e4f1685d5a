/** The verbs that run servers: `up`, `registry`, `gateway`, and `check`, which reads their configuration and ends. */
import type { Command } from 'commander';
import { readConfiguration } from './config.ts';
import { facts, openOutput, paint } from './output.ts';
import { type Running, runAll, runGateway, runRegistry, untilSignal } from './up.ts';

interface ServerFlags {
  data?: string;
  config?: string;
  host?: string;
  name?: string;
  workers?: string;
  logLevel?: string;
  mqttsPort?: string;
  httpsPort?: string;
  registryPort?: string;
  pkiPort?: string;
  opsPort?: string;
  json?: boolean;
}

const port = (text: string | undefined) => (text === undefined ? undefined : Number(text));

const configurationOf = (flags: ServerFlags) =>
  readConfiguration(flags.config, {
    data: flags.data,
    host: flags.host,
    name: flags.name,
    workers: flags.workers === undefined ? undefined : Number(flags.workers),
    'log.level': flags.logLevel,
    'mqtt.port': port(flags.mqttsPort),
    'https.port': port(flags.httpsPort),
    'registry.port': port(flags.registryPort),
    'pki.port': port(flags.pkiPort),
    'ops.port': port(flags.opsPort),
  });

/** Prints the ready line, waits for a signal, closes in order. */
async function serve(running: Running, tell: () => void): Promise<void> {
  const signal = untilSignal();
  process.stdout.write(`ready ${JSON.stringify(running.where)}\n`);
  tell();
  const failed = await Promise.race([signal.then(() => undefined), running.failed]);
  if (failed) {
    await running[Symbol.asyncDispose]();
    throw failed;
  }
  process.stderr.write('Shutting down: sessions are told, the spool is flushed.\n');
  await running[Symbol.asyncDispose]();
}

const common = (command: Command): Command =>
  command
    .option('--data <dir>', 'folder of everything that is kept (default ./data)')
    .option('--config <file>', 'configuration (default fleetgate.yaml when it is there)')
    .option('--host <address>', 'address to listen on (default 127.0.0.1)')
    .option('--log-level <level>', 'debug, info, warn, error or silent');

const registryPorts = (command: Command): Command =>
  command
    .option('--registry-port <port>', 'registry door (default 9443; 0 takes a free one)')
    .option('--pki-port <port>', 'PKI door (default 8080)');

const gatewayDoors = (command: Command): Command =>
  command
    .option('--workers <count>', 'processes that hear devices (default 1; 0 is one a core)')
    .option('--mqtts-port <port>', 'MQTTS door (default 8883)')
    .option('--https-port <port>', 'HTTPS door for devices (default 8443)');

const opsPort = (command: Command): Command =>
  command.option('--ops-port <port>', 'metrics and probes (default 9464)');

export function serverCommands(program: Command): void {
  opsPort(gatewayDoors(registryPorts(common(program.command('up')))))
    .description('run registry and gateway together; needs nothing else')
    .addHelpText('after', '\nExample:\n  fleetgate up --data ./data --mqtts-port 8883')
    .action(async (flags: ServerFlags) => {
      const running = await runAll(configurationOf(flags));
      const { mqtts, https, registry, adminTokenFile, ca } = running.where;
      await serve(running, () => {
        const lines = [
          paint('bold', 'Fleetgate is up.'),
          ...facts([
            ['devices, MQTT', mqtts],
            ['devices, HTTPS', https],
            ['registry', `${registry} (reference at /docs)`],
            ['CA bundle', ca],
            ['admin token', adminTokenFile],
          ]),
          'Next: fleetgate fleets create plant, then fleetgate tokens create plant --device pump-1',
        ];
        process.stderr.write(`${lines.join('\n')}\n`);
      });
    });

  opsPort(registryPorts(common(program.command('registry'))))
    .description('run the registry alone; gateways follow it')
    .addHelpText('after', '\nExample:\n  fleetgate registry --data ./registry --host 0.0.0.0')
    .action(async (flags: ServerFlags) => serve(await runRegistry(configurationOf(flags)), () => {}));

  opsPort(gatewayDoors(common(program.command('gateway'))))
    .description('run a gateway that follows a registry elsewhere')
    .requiredOption('--registry <url>', 'the registry to follow')
    .option('--ca <file>', 'CA bundle of the registry; for the first start')
    .option('--token-file <file>', 'admin token of the registry; for the first start')
    .option('--name <name>', 'name of this gateway, in receipts and decisions')
    .addHelpText(
      'after',
      '\nExample:\n  fleetgate gateway --registry https://registry.example:9443 --ca ca.crt --token-file admin.token --name north',
    )
    .action(async (flags: ServerFlags & { registry: string; ca?: string; tokenFile?: string }) => {
      const remote = { url: flags.registry, ca: flags.ca, tokenFile: flags.tokenFile };
      await serve(await runGateway(configurationOf(flags), remote), () => {});
    });

  common(program.command('check'))
    .description('read the configuration, say what is wrong with it, and end')
    .option('--json', 'one JSON document')
    .addHelpText('after', '\nExample:\n  fleetgate check --config fleetgate.yaml')
    .action((flags: ServerFlags) => {
      const settings = configurationOf(flags);
      openOutput(flags.json === true).answer(settings, () => [
        'The configuration is good.',
        ...facts([
          ['data', settings.data],
          [
            'doors',
            `mqtts ${settings.mqtt.port}, https ${settings.https.port}, registry ${settings.registry.port}, pki ${settings.pki.port}, ops ${settings.ops.port}`,
          ],
          [
            'backends',
            Object.entries(settings.backends)
              .map(([name, { type }]) => `${name} (${type})`)
              .join(', '),
          ],
          ['routes', settings.routes.map(({ match, to }) => `${match} to ${to.join(' and ')}`).join('; ')],
        ]),
      ]);
    });
}
