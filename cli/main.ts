/** The `fleetgate` command: nouns and verbs, exit codes, errors in a sentence. */
import { Command, CommanderError } from 'commander';
import { Fault } from '#common/fault.ts';
import { demoCommand } from './demo.ts';
import { certificateCommands, deviceCommands } from './devices.ts';
import { enrollCommand } from './enroll.ts';
import { fleetCommands, roleCommands, tokenCommands } from './fleets.ts';
import { insightCommands } from './insight.ts';
import { paint } from './output.ts';
import { serverCommands } from './server-commands.ts';
import { simulateCommand } from './simulate.ts';

const program = new Command('fleetgate')
  .description('The front door of a device fleet.')
  .version('0.1.0')
  .configureHelp({ showGlobalOptions: true })
  .exitOverride();

serverCommands(program);
enrollCommand(program);
fleetCommands(program);
tokenCommands(program);
roleCommands(program);
deviceCommands(program);
certificateCommands(program);
insightCommands(program);
simulateCommand(program);
demoCommand(program);

try {
  await program.parseAsync();
  process.exit(process.exitCode ?? 0);
} catch (thrown) {
  process.exit(exitCodeOf(thrown));
}

/** 0 done, 1 failed, 2 usage. */
function exitCodeOf(thrown: unknown): number {
  if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? 0 : 2;
  const fault = Fault.of(thrown);
  const text =
    fault.kind === 'internal' ? String((fault.cause as Error)?.stack ?? fault.cause) : fault.message;
  process.stderr.write(`${paint('red', 'error')} ${text}\n`);
  return 1;
}
