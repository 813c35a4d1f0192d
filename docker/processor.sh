# Kinds of processors for which the image has compiled loops: any, and x86-64-v3 (AVX2, FMA and what came with them).

processor_kind() {
    for feature in abm avx2 bmi1 bmi2 f16c fma movbe; do
        grep -qw "$feature" /proc/cpuinfo || { echo any; return; }
    done
    echo x86-64-v3
}

use_processor_kind() {
    case $1 in
    any) NUMBA_CPU_NAME=generic NUMBA_CPU_FEATURES= ;;
    *) NUMBA_CPU_NAME=$1 NUMBA_CPU_FEATURES=+avx2,+fma ;;
    esac
    export NUMBA_CPU_NAME NUMBA_CPU_FEATURES
}
