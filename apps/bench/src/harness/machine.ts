import { availableParallelism, cpus, loadavg, totalmem } from 'node:os';
import { backendInfo } from '@orth/backend';
import { version_core } from '@tensorflow/tfjs-core';

/** Where numbers were measured: written above every table and into every result file. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memory_gb: number;
  readonly platform: string;
  readonly node: string;
  readonly backend: string;
  readonly device: string;
  /** Name and version of every library that computed. */
  readonly libraries: Readonly<Record<string, string>>;
  /** Processes wanting to run over the last minute, at the start: above 0 something else took time. */
  readonly load: number;
}

/** Describes this machine and the active backend. */
export function describeMachine(): Machine {
  const { name, device, threads, library, version } = backendInfo();
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memory_gb: Math.round(totalmem() / 2 ** 30),
    platform: `${process.platform} ${process.arch}`,
    node: process.versions.node,
    backend: name,
    device: threads && threads > 1 ? `${device}, ${threads} threads` : device,
    libraries: { '@tensorflow/tfjs-core': version_core, [library]: version },
    load: Math.round((loadavg()[0] ?? 0) * 100) / 100,
  };
}

/** A warning where other processes took the processor while times were measured; nothing otherwise. */
export const loadNotes = ({ load, cores }: Machine): string[] =>
  load > cores / 4
    ? [
        `the machine was busy at the start (load ${load} on ${cores} cores): ratio_min says more than ratio, and peers with all threads suffered most`,
      ]
    : [];

/** The machine in one line. */
export function formatMachine(machine: Machine): string {
  const { cpu, cores, memory_gb, platform, node, backend, device, libraries, load } = machine;
  const versions = Object.entries(libraries).map(([name, version]) => `${name} ${version}`);
  return [
    `${cpu}, ${cores} cores, ${memory_gb} GB, ${platform}`,
    `Node ${node}`,
    `backend ${backend} (${device})`,
    ...versions,
    `load ${load}`,
  ].join(' · ');
}
