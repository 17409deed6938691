# What find_package(ess_gateway) reads once `cmake --install` has put it in place: the target ess::gateway.
include(CMakeFindDependencyMacro)
find_dependency(Threads)
find_dependency(Protobuf)
find_dependency(gRPC CONFIG)
include(${CMAKE_CURRENT_LIST_DIR}/ess_gatewayTargets.cmake)
