export function useSoftwareGpu(): void {}
