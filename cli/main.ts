/** The `fleetgate` command: nouns and verbs, exit codes, errors in a sentence. */
import { Command, CommanderError } from 'commander';
import { Fault } from '#common/fault.ts';
import { usageCode } from './noun.ts';
import { paint } from './output.ts';

const program = new Command('fleetgate')
  .description('The front door of a device fleet.')
  .version('0.1.0')
  .configureHelp({ showGlobalOptions: true })
  .exitOverride();

type Commands = (program: Command) => void;

/** Each noun's file is loaded when it is asked for: a server does not carry the simulator in its heap. */
const servers = async (): Promise<Commands> => (await import('./server-commands.ts')).serverCommands;
const insight = async (): Promise<Commands> => (await import('./insight.ts')).insightCommands;
const policies = async (): Promise<Commands> => (await import('./policies.ts')).policyCommands;
const loaders: Record<string, () => Promise<Commands>> = {
  up: servers,
  registry: servers,
  gateway: servers,
  check: servers,
  demo: async () => (await import('./demo.ts')).demoCommand,
  simulate: async () => (await import('./simulate.ts')).simulateCommand,
  enroll: async () => (await import('./enroll.ts')).enrollCommand,
  fleets: async () => (await import('./fleets.ts')).fleetCommands,
  tokens: async () => (await import('./fleets.ts')).tokenCommands,
  profiles: async () => (await import('./profiles.ts')).profileCommands,
  claims: async () => (await import('./claims.ts')).claimCommands,
  enrollments: async () => (await import('./enrollments.ts')).enrollmentCommands,
  policies,
  roles: policies,
  operators: async () => (await import('./operators.ts')).operatorCommands,
  anchors: async () => (await import('./anchors.ts')).anchorCommands,
  commands: async () => (await import('./commands.ts')).commandCommands,
  devices: async () => (await import('./devices.ts')).deviceCommands,
  issuers: async () => (await import('./issuers.ts')).issuerCommands,
  certificates: async () => (await import('./devices.ts')).certificateCommands,
  explain: async () => (await import('./explain.ts')).explainCommand,
  audit: async () => (await import('./audit.ts')).auditCommands,
  status: insight,
  ca: async () => (await import('./ca.ts')).caCommands,
  doctor: insight,
};

/** The one that was asked for, or all of them for the help. */
async function addCommands(noun: string | undefined): Promise<void> {
  const asked =
    noun !== undefined && Object.hasOwn(loaders, noun) ? [loaders[noun]!] : new Set(Object.values(loaders));
  for (const load of asked) (await load())(program);
}

try {
  await addCommands(process.argv[2]);
  await program.parseAsync();
  process.exit(process.exitCode ?? 0);
} catch (thrown) {
  process.exit(exitCodeOf(thrown));
}

/** 0 done, 1 failed, 2 usage. */
function exitCodeOf(thrown: unknown): number {
  if (thrown instanceof CommanderError) {
    // What commander finds it has told already; what a noun finds is told here.
    if (thrown.code === usageCode) process.stderr.write(`${paint('red', 'error')} ${thrown.message}\n`);
    return thrown.exitCode === 0 ? 0 : 2;
  }
  const fault = Fault.of(thrown);
  const text =
    fault.kind === 'internal' ? String((fault.cause as Error)?.stack ?? fault.cause) : fault.message;
  process.stderr.write(`${paint('red', 'error')} ${text}\n`);
  return 1;
}
